/* load: keeps a number of requests under way for a while, and tells how they fared as one JSON object.
 *
 *   load PORT PATH BODY_FILE MARK CONNECTIONS SECONDS WARM_UP REQUESTS [HEADER]...
 *
 * A closed loop: each connection sends its next request when the last answer is complete. An answer is good when its
 * status is 200 and it holds MARK. In each request the body's first run of sixteen zeros becomes the request's own
 * number, which counts up from the microseconds since 1970, so that no two are equal, in other runs neither. REQUESTS above 0 ends the run after that many. Times are in microseconds, and
 * count from the moment a request is sent; WARM_UP seconds are left out of them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD, LENGTH, UNTIL_CLOSE, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER };

typedef struct {
    int fd, busy, state, status, found, marked, line_start, event_at, last_chunk, watching_out;
    long left;                       /* bytes of the body or of the chunk */
    uint64_t start, first, last;     /* ns: request sent, first event, last event */
    size_t sent, head_used;
    char *request, *number, head[16384];
} Conn;

typedef struct { double *v; size_t n, room; } Series;

static int port, poll_fd;
static size_t request_size;
static const char *mark;
static uint64_t measure_from, measure_to, started, most, first_number;
static uint64_t good, bad, errors, finished, events, all_events;
static Series latency, first_event, gap;
static int bad_status;
static char bad_text[201];

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void add(Series *s, uint64_t ns) {
    if (s->n == s->room) s->v = realloc(s->v, (s->room = s->room * 2 + 4096) * sizeof *s->v);
    s->v[s->n++] = ns / 1000.0;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_series(const char *name, Series *s) {
    if (!s->n) return;
    qsort(s->v, s->n, sizeof *s->v, ascending);
#define AT(q) s->v[(size_t)((s->n - 1) * (q))]
    printf(",\"%s\":{\"p50\":%.1f,\"p95\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name, AT(.5), AT(.95), AT(.99), AT(1));
}

static void hang_up(Conn *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->busy = c->watching_out = 0;
}

static int dial(Conn *c) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (void *)&there, sizeof there)) { errors++; hang_up(c); usleep(1000); return 0; }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e);
    return 1;
}

static void watch_out(Conn *c, int on) {
    if (c->watching_out == on) return;
    struct epoll_event e = {.events = on ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e);
    c->watching_out = on;
}

static void send_on(Conn *c) {
    while (c->sent < request_size) {
        ssize_t n = send(c->fd, c->request + c->sent, request_size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) { watch_out(c, 1); return; }
        if (n < 0) { errors++; hang_up(c); return; }
        c->sent += n;
    }
    watch_out(c, 0);
}

static void begin(Conn *c) {
    if (c->fd < 0 && !dial(c)) return;
    c->busy = 1;
    c->state = HEAD;
    c->found = c->marked = c->event_at = c->status = 0;
    c->line_start = 1;
    c->sent = c->head_used = 0;
    c->first = c->last = 0;
    started++;
    if (c->number) { char digits[17]; snprintf(digits, sizeof digits, "%016lu", first_number + started); memcpy(c->number, digits, 16); }
    c->start = now();
    send_on(c);
}

static void complete(Conn *c, uint64_t t) {
    int ok = c->status == 200 && c->marked;
    finished++;
    c->busy = 0;
    if (!ok && !bad_status) bad_status = c->status;
    if (c->start >= measure_from && c->start < measure_to) {
        if (ok) { good++; add(&latency, t - c->start); } else bad++;
        if (ok && c->first) add(&first_event, c->first - c->start);
    } else if (!ok) bad++;
    if (strcasestr(c->head, "\nconnection: close")) hang_up(c);
}

static void on_event(Conn *c, uint64_t t) {
    all_events++;
    if (c->start >= measure_from && c->start < measure_to) {
        events++;
        if (c->last) add(&gap, t - c->last);
    }
    if (!c->first) c->first = t;
    c->last = t;
}

/* Looks for the mark and for lines that begin with "data:". Both begin with a letter that they hold only once. */
static void look(Conn *c, const char *p, size_t n, uint64_t t) {
    static const char data[] = "data:";
    if (c->status != 200 && !bad_text[0]) snprintf(bad_text, sizeof bad_text, "%.*s", (int)n, p);
    for (size_t i = 0; i < n; i++) {
        if (!c->marked) {
            c->found = p[i] == mark[c->found] ? c->found + 1 : p[i] == mark[0];
            c->marked = !mark[c->found];
        }
        if (c->line_start || c->event_at) {
            c->event_at = p[i] == data[c->event_at] ? c->event_at + 1 : 0;
            if (c->event_at == 5) { on_event(c, t); c->event_at = 0; }
        }
        c->line_start = p[i] == '\n';
    }
}

/* Takes a piece of the body. Returns 1 when the answer is complete. */
static int take(Conn *c, const char *p, size_t n, uint64_t t) {
    for (size_t i = 0; i < n;) {
        if (c->state == LENGTH || c->state == CHUNK || c->state == UNTIL_CLOSE) {
            size_t part = c->state == UNTIL_CLOSE || n - i < (size_t)c->left ? n - i : (size_t)c->left;
            look(c, p + i, part, t);
            i += part;
            c->left -= part;
            if (c->left || c->state == UNTIL_CLOSE) continue;
            if (c->state == LENGTH) return 1;
            c->state = CHUNK_END;
            continue;
        }
        char byte = p[i++];
        if (c->state == CHUNK_SIZE && byte == '\n') {
            c->state = c->left ? CHUNK : TRAILER;
        } else if (c->state == CHUNK_SIZE && byte != '\r') {
            c->left = c->left * 16 + (byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
        } else if (c->state == CHUNK_END && byte == '\n') {
            c->state = CHUNK_SIZE;
            c->left = 0;
        } else if (c->state == TRAILER && byte == '\n') {
            return 1;
        }
    }
    return c->state == LENGTH && c->left == 0;
}

/* Collects the head; returns how many bytes of the piece belong to it, once it is complete. */
static size_t read_head(Conn *c, const char *p, size_t n) {
    size_t before = c->head_used, part = n < sizeof c->head - 1 - before ? n : sizeof c->head - 1 - before;
    memcpy(c->head + before, p, part);
    c->head_used += part;
    c->head[c->head_used] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return n;
    end[2] = 0;
    char *length = strcasestr(c->head, "\ncontent-length:");
    c->status = atoi(c->head + 9);
    c->left = length ? atol(length + 16) : 0;
    c->state = strcasestr(c->head, "\ntransfer-encoding: chunked") ? CHUNK_SIZE : length ? LENGTH : UNTIL_CLOSE;
    return end + 4 - c->head - before;
}

static void on_input(Conn *c) {
    static char buffer[262144];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    uint64_t t = now();
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        if (c->busy && c->state == UNTIL_CLOSE) complete(c, t); else if (c->busy) errors++;
        hang_up(c);
        return;
    }
    if (!c->busy) return;
    size_t used = c->state == HEAD ? read_head(c, buffer, n) : 0;
    if (c->state != HEAD && take(c, buffer + used, n - used, t)) complete(c, t);
}

/* The request, with its headers, from the file; the same bytes for each connection. */
static char *read_request(char **argv, int argc) {
    FILE *file = fopen(argv[3], "rb");
    if (!file) { perror(argv[3]); exit(1); }
    char *body = malloc(8 << 20), *request = malloc((8 << 20) + 65536), *at = request;
    size_t size = fread(body, 1, 8 << 20, file);
    fclose(file);
    at += sprintf(at, "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\naccept: */*\r\ncontent-type: application/json\r\n", argv[2], port);
    for (int i = 9; i < argc; i++) at += sprintf(at, "%s\r\n", argv[i]);
    at += sprintf(at, "content-length: %zu\r\n\r\n", size);
    memcpy(at, body, size);
    request_size = at + size - request;
    free(body);
    return request;
}

static int may_begin(uint64_t t) { return t < measure_to && (!most || started < most); }

static void run(Conn *conns, int count) {
    struct epoll_event got[256];
    for (int under_way = 1; under_way;) {
        under_way = 0;
        for (int i = 0; i < count; i++) {
            if (!conns[i].busy && may_begin(now())) begin(&conns[i]);
            under_way += conns[i].busy;
        }
        if (now() > measure_to + 10000000000ull) return;
        if (!under_way) under_way = may_begin(now());
        int n = epoll_wait(poll_fd, got, 256, 0); /* never asleep: who writes to it would pay for waking it */
        if (n < 1) sched_yield();
        for (int i = 0; i < n; i++) {
            Conn *c = got[i].data.ptr;
            if (got[i].events & EPOLLOUT) send_on(c);
            if (got[i].events & ~EPOLLOUT && c->fd >= 0) on_input(c);
            if (!c->busy && may_begin(now())) begin(c);
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 9) return 2;
    port = atoi(argv[1]);
    mark = argv[4];
    int count = atoi(argv[5]);
    most = strtoull(argv[8], NULL, 10);
    char *request = read_request(argv, argc), *zeros = memmem(request, request_size, "0000000000000000", 16);
    struct timespec today;
    clock_gettime(CLOCK_REALTIME, &today);
    first_number = today.tv_sec * 1000000ull + today.tv_nsec / 1000;
    poll_fd = epoll_create1(0);
    Conn *conns = calloc(count, sizeof *conns);
    for (int i = 0; i < count; i++) {
        conns[i].fd = -1;
        conns[i].request = memcpy(malloc(request_size), request, request_size);
        conns[i].number = zeros ? conns[i].request + (zeros - request) : NULL;
    }
    measure_from = now() + atof(argv[7]) * 1e9;
    measure_to = measure_from + atof(argv[6]) * 1e9;
    run(conns, count);
    double seconds = atof(argv[6]);
    uint64_t hung = 0;
    for (int i = 0; i < count; i++) hung += conns[i].busy;
    printf("{\"good\":%lu,\"bad\":%lu,\"errors\":%lu,\"hung\":%lu,\"finished\":%lu,\"all_events\":%lu,\"rate\":%.1f,\"event_rate\":%.1f",
           good, bad, errors, hung, finished, all_events, good / seconds, events / seconds);
    if (bad_status) {
        printf(",\"bad_status\":%d,\"bad_text\":\"", bad_status);
        for (char *p = bad_text; *p; p++) if (*p >= ' ' && *p != '"' && *p != '\\') putchar(*p);
        putchar('"');
    }
    print_series("latency_us", &latency);
    print_series("first_event_us", &first_event);
    print_series("gap_us", &gap);
    puts("}");
    return 0;
}
