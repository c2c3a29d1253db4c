/* mock: an upstream that speaks OpenAI's chat completions, faster than anything that is measured in front of it.
 *
 *   mock PORT
 *
 * A POST is answered with one JSON body, or with 50 server-sent events if it says "stream": true.
 * Segments of the path change how:  /d20/ 20 ms pass before the answer begins
 *                                   /p20/ 20 ms pass between two events
 *                                   /s503/ the answer is an error of this status
 * One thread, loopback only. It ends with the process that started it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 50, MOST = 4096, ROOM = 4 << 20 };

typedef struct {
    int fd;
    int events_left;   /* of the stream being written */
    int with_usage;    /* the request asked for it */
    int closing;       /* after this answer */
    long pace;         /* ns between events */
    uint64_t due;      /* when to go on writing; 0: nothing to do */
    char *in, *out;
    size_t in_used, in_room, out_used, out_sent, out_room;
} Conn;

static Conn *conns[MOST];
static int poll_fd, timer_fd, waiting;

#define STARTS "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1735689600,\"model\":\"mock-model\","
#define DELTA STARTS "\"choices\":[{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s}]}"
#define USAGE "\"usage\":{\"prompt_tokens\":250,\"completion_tokens\":50,\"total_tokens\":300," \
              "\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}}"

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void wait_until(Conn *c, uint64_t due) {
    waiting += (due != 0) - (c->due != 0);
    c->due = due;
}

static void hang_up(Conn *c) {
    wait_until(c, 0);
    conns[c->fd] = NULL;
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static void put(Conn *c, const char *data, size_t size) {
    if (c->out_used + size > c->out_room) c->out = realloc(c->out, c->out_room = 2 * (c->out_used + size));
    memcpy(c->out + c->out_used, data, size);
    c->out_used += size;
}

/* One server-sent event as an HTTP chunk. */
static void put_event(Conn *c, const char *json) {
    char line[1100];
    put(c, line, sprintf(line, "%zx\r\ndata: %s\n\n\r\n", strlen(json) + 8, json));
}

/* 0 when the connection is gone. */
static int flush(Conn *c) {
    while (c->out_sent < c->out_used) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_used - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
            epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e);
            return 1;
        }
        if (n < 0) { hang_up(c); return 0; }
        c->out_sent += n;
    }
    c->out_used = c->out_sent = 0;
    if (c->closing && !c->events_left && !c->due) { hang_up(c); return 0; }
    return 1;
}

static int write_events(Conn *c) {
    char json[1024];
    do {
        c->events_left--;
        if (c->events_left) {
            sprintf(json, DELTA, "\"role\":\"assistant\",\"content\":\" jumping\"", "null");
            put_event(c, json);
            if (c->pace) wait_until(c, now() + c->pace);
        } else {
            sprintf(json, DELTA, "", "\"stop\"");
            put_event(c, json);
            if (c->with_usage) put_event(c, STARTS "\"choices\":[]," USAGE "}");
            put_event(c, "[DONE]");
            put(c, "0\r\n\r\n", 5);
        }
        if (!flush(c)) return 0;
    } while (c->events_left && !c->pace);
    return 1;
}

static int write_body(Conn *c, const char *status, const char *body) {
    char head[256];
    put(c, head, sprintf(head, "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
                         status, strlen(body)));
    put(c, body, strlen(body));
    return flush(c);
}

static int answer(Conn *c) {
    if (!c->events_left) {
        char text[600] = "";
        while (strlen(text) < 540) strcat(text, "The quick brown fox jumps over the lazy dog. ");
        char body[2048];
        sprintf(body, "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion\",\"created\":1735689600,\"model\":\"mock-model\","
                "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},"
                "\"logprobs\":null,\"finish_reason\":\"stop\"}]," USAGE "}", text);
        return write_body(c, "200 OK", body);
    }
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    put(c, head, sizeof head - 1);
    return write_events(c);
}

/* The number behind "/<letter>" in the first line; 0 if there is none. */
static long asked(const char *line, char letter) {
    for (const char *p = line; (p = strchr(p, '/')); p++)
        if (p[1] == letter && p[2] >= '0' && p[2] <= '9') return atol(p + 2);
    return 0;
}

static int has(const char *text, const char *one, const char *other) { return strstr(text, one) || strstr(text, other); }

/* Answers the request that stands at the beginning of `in`, if it is all there. 0 when the connection is gone. */
static int read_request(Conn *c) {
    c->in[c->in_used] = 0;
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) return 1;
    *end = 0;
    char *body = end + 4, *length = strcasestr(c->in, "\ncontent-length:");
    int chunked = strcasestr(c->in, "\ntransfer-encoding: chunked") != NULL;
    size_t there = c->in_used - (body - c->in), size = length ? strtoul(length + 16, NULL, 10) : 0;
    if (chunked) size = there >= 5 && !memcmp(body + there - 5, "0\r\n\r\n", 5) ? there : there + 1;
    if (there < size) { *end = '\r'; return 1; }
    c->closing = strcasestr(c->in, "\nconnection: close") != NULL;
    char *line_end = strchr(c->in, '\r');
    if (line_end) *line_end = 0;
    long delay = asked(c->in, 'd'), status = asked(c->in, 's');
    c->pace = asked(c->in, 'p') * 1000000;
    c->events_left = has(body, "\"stream\":true", "\"stream\": true") ? EVENTS : 0;
    c->with_usage = has(body, "\"include_usage\":true", "\"include_usage\": true");
    memmove(c->in, body + size, there - size);
    c->in_used = there - size;
    if (status) {
        char text[32];
        sprintf(text, "%ld Error", status);
        c->events_left = 0;
        return write_body(c, text, "{\"error\":{\"message\":\"as asked for\",\"type\":\"server_error\",\"param\":null,\"code\":null}}");
    }
    if (delay) { wait_until(c, now() + delay * 1000000); return 1; }
    return answer(c);
}

static void on_input(Conn *c) {
    if (c->in_room - c->in_used < 65536) c->in = realloc(c->in, (c->in_room = c->in_room * 2 + 131072) + 1);
    ssize_t n = c->in_room > ROOM ? 0 : recv(c->fd, c->in + c->in_used, c->in_room - c->in_used, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) { hang_up(c); return; }
    c->in_used += n;
    if (!c->due && !c->events_left) read_request(c);
}

static void on_output(Conn *c) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e);
    flush(c);
}

/* What is due: a delayed answer, or the next event of a paced stream. */
static void run_due(void) {
    uint64_t t = now(), next = UINT64_MAX;
    for (int fd = 0; waiting && fd < MOST; fd++) {
        Conn *c = conns[fd];
        if (!c || !c->due) continue;
        if (c->due <= t) {
            wait_until(c, 0);
            int streaming = c->events_left > 0 && c->events_left < EVENTS;
            if (!(streaming ? write_events(c) : answer(c))) continue;
        }
        if (c->due && c->due < next) next = c->due;
    }
    if (next == UINT64_MAX) return;
    t = now();
    uint64_t left = next > t ? next - t : 1;
    struct itimerspec timer = {.it_value = {left / 1000000000, left % 1000000000}};
    timerfd_settime(timer_fd, 0, &timer, NULL);
}

static void on_connection(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MOST) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Conn *c = conns[fd] = calloc(1, sizeof *c);
        c->fd = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&here, sizeof here) || listen(listener, 1024)) { perror("mock"); return 1; }
    poll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listener}, got[256];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &e);
    e.data.ptr = &timer_fd;
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer_fd, &e);
    for (;;) {
        if (waiting) run_due();
        int n = epoll_wait(poll_fd, got, 256, 0); /* never asleep: who writes to it would pay for waking it */
        if (n < 1) sched_yield();
        for (int i = 0; i < n; i++) {
            uint64_t ticks;
            if (got[i].data.ptr == &listener) on_connection(listener);
            else if (got[i].data.ptr == &timer_fd) { if (read(timer_fd, &ticks, sizeof ticks) < 0) {} }
            else if (got[i].events & EPOLLOUT) on_output(got[i].data.ptr);
            else on_input(got[i].data.ptr);
        }
    }
}
