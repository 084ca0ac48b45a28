/*
 * load: asks one contender, checks every answer, and prints what it saw as one JSON object.
 *
 *   load MODE --to tcp:PORT|unix:PATH [options]
 *
 *   ask    requests and answers on --connections kept open, or on a new one each time (--fresh)
 *   echo   after 101, sends --message BYTES and waits until they are back, again and again
 *   flood  after 101, sends --bytes as fast as they are taken, and reads them back
 *   down   in a gRPC call (--h2), has the engine send --bytes of messages
 *   up     in a gRPC call, sends --bytes of messages, which the engine counts
 *   hold   opens --connections streams and keeps them; samples memory at a sixteenth of them and at all
 *
 * A latency is counted from the moment a request was due, not from when it could be sent: at a fixed --rate a stall
 * shows in every request that it delayed (what is called coordinated omission otherwise). Without a rate each
 * connection asks again at once. CPU, context switches and memory of others (--watch NAME:PID,PID) are read from /proc
 * at the two ends of the measured stretch, by this process, so that nothing of the harness falls between.
 *
 * --h2 goes on with HTTP/2 after 101, or begins with it where the request is empty. One gRPC call is made on each
 * connection, and --message is then the size of a message without its prefix. With --tls CERTIFICATE it speaks TLS 1.3
 * with one cipher, and each new connection is a full handshake whose certificate is checked.
 *
 *   load features      prints what was built in: "tls" where OpenSSL was there
 */
#define _GNU_SOURCE
#include "h2.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

typedef uint64_t u64;

/* Nanoseconds without a byte, or until all streams are open, after which a run has failed. */
#define PATIENCE 10000000000ull
#define PATIENCE_OPENING 60000000000ull
/*
 * Nanoseconds between two looks at the clock while nothing happens. Longer than the kernel's own tick: a shorter wait
 * sets its core's timer and sets it back, 20 us in a virtual machine, more than a whole round trip.
 */
#define LOOK_UP 50000000

/* === options === */

static struct {
  const char *mode, *to, *request, *tls;
  int connections, fresh, until_body, status, chunked, h2;
  double seconds, warmup, rate;
  u64 count, warm_count, bytes, warm_bytes, message, expect, upload;
} o = {.connections = 1, .seconds = 1, .status = 200, .message = 1};

/* === clock === */

static u64 now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* === histogram: 128 steps an octave, so every figure is within 0.8 % === */

#define STEPS 128
static u64 histogram[STEPS * 60], largest, recorded;

static void record(u64 ns) {
  int octave = 63 - __builtin_clzll(ns | 255) - 7;
  histogram[octave ? (u64)octave * STEPS + (ns >> octave) : ns]++;
  recorded++;
  if (ns > largest) largest = ns;
}

static u64 middle(u64 index) {
  u64 octave = index < 2 * STEPS ? 0 : index / STEPS - 1;
  return ((index - octave * STEPS) << octave) + (octave ? 1ull << (octave - 1) : 0);
}

/* === other processes === */

struct group {
  char name[32];
  int pids[64], count;
};
static struct group groups[8];
static int group_count;

struct sample {
  u64 cpu, switches, rss_kb;
};

static u64 number_in(const char *path, const char *after) {
  char text[4096], *at = text;
  int fd = open(path, O_RDONLY);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n < 0 ? 0 : n] = 0;
  if (after && !(at = strstr(text, after))) return 0;
  return strtoull(at + (after ? strlen(after) : 0), NULL, 10);
}

static struct sample look_at(const struct group *group) {
  struct sample sample = {0};
  char path[300];
  for (int i = 0; i < group->count; i++) {
    sprintf(path, "/proc/%d/status", group->pids[i]);
    sample.rss_kb += number_in(path, "VmRSS:");
    sprintf(path, "/proc/%d/task", group->pids[i]);
    DIR *threads = opendir(path);
    for (struct dirent *entry; threads && (entry = readdir(threads));) {
      if (entry->d_name[0] == '.') continue;
      sprintf(path, "/proc/%d/task/%.20s/schedstat", group->pids[i], entry->d_name);
      sample.cpu += number_in(path, NULL);
      sprintf(path, "/proc/%d/task/%.20s/status", group->pids[i], entry->d_name);
      sample.switches += number_in(path, "\nvoluntary_ctxt_switches:") + number_in(path, "nonvoluntary_ctxt_switches:");
    }
    if (threads) closedir(threads);
  }
  return sample;
}

/* === who has which connections === */

#define MOST_INODES 4096
static u64 inodes[MOST_INODES];
static int inode_count;

/* The server's ends of connections to a port: `ss` would say the same. */
static void find_served(const char *port) {
  char line[512], wanted[8];
  FILE *file = fopen("/proc/net/tcp", "r");
  snprintf(wanted, sizeof wanted, ":%04X", (unsigned)atoi(port));
  inode_count = 0;
  while (file && fgets(line, sizeof line, file)) {
    char local[32], remote[32], state[8];
    unsigned long long inode;
    if (sscanf(line, " %*d: %31s %31s %7s %*s %*s %*s %*s %*s %llu", local, remote, state, &inode) != 4) continue;
    if (!strcmp(state, "01") && !strcmp(strchr(local, ':'), wanted) && inode_count < MOST_INODES) inodes[inode_count++] = inode;
  }
  if (file) fclose(file);
}

static int served_by(int pid) {
  char path[300], target[64];
  int count = 0;
  sprintf(path, "/proc/%d/fd", pid);
  DIR *files = opendir(path);
  for (struct dirent *entry; files && (entry = readdir(files));) {
    sprintf(path, "/proc/%d/fd/%.20s", pid, entry->d_name);
    ssize_t n = readlink(path, target, sizeof target - 1);
    unsigned long long inode;
    if (n < 0) continue;
    target[n] = 0;
    if (sscanf(target, "socket:[%llu]", &inode) != 1) continue;
    for (int i = 0; i < inode_count; i++) count += inodes[i] == inode;
  }
  if (files) closedir(files);
  return count;
}

static struct sample at_begin[8], at_end[8], at_low[8];

static void look(struct sample *into) {
  for (int i = 0; i < group_count; i++) into[i] = look_at(&groups[i]);
}

static u64 own_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* === connections === */

enum state { REST, SENDING, HEAD, BODY, STREAM };

struct conn {
  int fd;
  enum state state;
  void *tls;
  char head[16384];
  size_t head_size;
  struct body body;
  size_t request_at;
  u64 upload_at;
  u64 due;
  u64 came, sent; /* stream bytes */
  struct h2 *h2;
  uint32_t wants;
};

static struct conn *conns;
static struct conn **resting; /* a ring, so that connections take turns */
static size_t rest_head, rest_count;
static int poller, live, measuring;
static char *request, buffer[1 << 18];
static size_t request_size;
/* Where the request says ########: there stands another number each time, as a trace has. */
static char *varying;
#define VARYING "########"
static struct stock stock, messages;
static u64 upload_wire, done, errors, moved, moved_at_begin, begun, ended, cpu_at_begin, cpu_at_end, held;

static void begin(void) {
  memset(histogram, 0, sizeof histogram);
  largest = recorded = done = 0;
  measuring = 1;
  look(at_begin);
  cpu_at_begin = own_cpu();
  moved_at_begin = moved;
  begun = now();
}

static void end(void) {
  ended = now();
  cpu_at_end = own_cpu();
  look(at_end);
  measuring = 2;
}

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* What a write that would block waits for: a handshake has to read before it writes. */
static uint32_t blocked_on = EPOLLIN | EPOLLOUT;

#ifdef WITH_TLS
/* The same for everybody, whatever each would choose. */
#define TLS_CIPHER "TLS_AES_256_GCM_SHA384"
#define TLS_GROUP "X25519"

static SSL_CTX *tls_context;
static ssize_t tls_result(struct conn *c, int n) {
  if (n > 0) return n;
  int why = SSL_get_error(c->tls, n);
  errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
  blocked_on = why == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLIN | EPOLLOUT;
  return why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}
static void make_tls_context(void) {
  tls_context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_min_proto_version(tls_context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(tls_context, TLS_CIPHER);
  SSL_CTX_set1_groups_list(tls_context, TLS_GROUP);
  SSL_CTX_set_verify(tls_context, SSL_VERIFY_PEER, NULL);
  if (!SSL_CTX_load_verify_locations(tls_context, o.tls, NULL)) die(o.tls);
}
static ssize_t get(struct conn *c, char *into, size_t n) {
  return c->tls ? tls_result(c, SSL_read(c->tls, into, (int)n)) : recv(c->fd, into, n, 0);
}
static ssize_t put(struct conn *c, const char *from, size_t n) {
  return c->tls ? tls_result(c, SSL_write(c->tls, from, (int)n)) : send(c->fd, from, n, MSG_NOSIGNAL);
}
static void secure(struct conn *c) {
  if (!o.tls) return;
  if (!tls_context) make_tls_context();
  c->tls = SSL_new(tls_context);
  SSL_set_fd(c->tls, c->fd);
  SSL_set_connect_state(c->tls);
}
static int has_more(struct conn *c) { return c->tls && SSL_pending(c->tls) > 0; }
static void insecure(struct conn *c) {
  if (c->tls) SSL_free(c->tls);
  c->tls = NULL;
}
#else
static ssize_t get(struct conn *c, char *into, size_t n) { return recv(c->fd, into, n, 0); }
static ssize_t put(struct conn *c, const char *from, size_t n) { return send(c->fd, from, n, MSG_NOSIGNAL); }
static void secure(struct conn *c) { if (o.tls) (errno = ENOTSUP), die("built without TLS"); (void)c; }
static int has_more(struct conn *c) { return (void)c, 0; }
static void insecure(struct conn *c) { (void)c; }
#endif

static void want(struct conn *c, uint32_t events) {
  if (c->wants == events) return;
  c->wants = events;
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &(struct epoll_event){.events = events, .data.ptr = c});
}

static void open_conn(struct conn *c) {
  int is_tcp = !strncmp(o.to, "tcp:", 4);
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  if (is_tcp) in.sin_port = htons((uint16_t)atoi(o.to + 4));
  else strncpy(un.sun_path, o.to + 5, sizeof un.sun_path - 1);
  c->fd = socket(is_tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket");
  if (connect(c->fd, is_tcp ? (struct sockaddr *)&in : (struct sockaddr *)&un, is_tcp ? sizeof in : sizeof un)) die("connect");
  if (is_tcp) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  secure(c);
  c->wants = EPOLLIN;
  epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
  live++;
}

static void close_conn(struct conn *c) {
  if (c->fd < 0) return;
  insecure(c);
  free(c->h2);
  c->h2 = NULL;
  close(c->fd);
  c->fd = -1;
  live--;
}

/* === one exchange === */

static void rest(struct conn *c) {
  c->state = REST;
  resting[(rest_head + rest_count++) % (size_t)o.connections] = c;
}

static void fail(struct conn *c, const char *why) {
  if (!errors++) fprintf(stderr, "load: %s; head: %.*s\n", why, (int)(c->head_size < 300 ? c->head_size : 300), c->head);
  if (errors > 1000) exit(1);
  close_conn(c);
  rest(c);
}

static int is_over(u64 t) {
  if (measuring != 1) return 0;
  if (o.count) return done >= o.count;
  if (o.bytes) return moved >= o.warm_bytes + o.bytes;
  return t - begun >= (u64)(o.seconds * 1e9);
}

static void stream_starts(struct conn *c);

static void vary(void) {
  static unsigned number;
  char digits[9];
  snprintf(digits, sizeof digits, "%08x", ++number);
  memcpy(varying, digits, 8);
}

static void send_request(struct conn *c) {
  if (varying && !c->request_at) vary();
  while (c->request_at < request_size) {
    ssize_t n = put(c, request + c->request_at, request_size - c->request_at);
    if (n < 0) return errno == EAGAIN ? want(c, blocked_on) : fail(c, "request not taken");
    c->request_at += (size_t)n;
  }
  u64 total = upload_wire + (o.upload && o.chunked ? sizeof LAST_CHUNK - 1 : 0);
  while (c->upload_at < total) {
    const char *from = stock.bytes + c->upload_at % stock.size;
    size_t n = stock.size - c->upload_at % stock.size;
    if (c->upload_at >= upload_wire) from = LAST_CHUNK + (c->upload_at - upload_wire), n = total - c->upload_at;
    else if (n > upload_wire - c->upload_at) n = upload_wire - c->upload_at;
    ssize_t sent = put(c, from, n);
    if (sent < 0) return errno == EAGAIN ? want(c, blocked_on) : fail(c, "body not taken");
    c->upload_at += (u64)sent;
    moved += (u64)sent;
    if (!measuring && o.warm_bytes && moved >= o.warm_bytes) begin();
  }
  want(c, EPOLLIN);
  c->state = HEAD;
  if (!request_size) stream_starts(c); /* there is nothing to answer */
}

static void ask(struct conn *c, u64 due) {
  c->due = due;
  c->head_size = c->request_at = c->upload_at = 0;
  c->state = SENDING;
  if (c->fd < 0) open_conn(c);
  send_request(c);
}

static void answered(struct conn *c) {
  u64 t = now();
  if (o.expect && c->body.data != o.expect) return fail(c, "body of another length");
  done++;
  if (measuring == 1) record(t - c->due);
  if (o.fresh) close_conn(c);
  rest(c);
}

/* === gRPC calls === */

#define CALL_ID 1
#define METHOD "/moby.buildkit.v1.Control/Session"

/* Sends what is ready, and waits for events accordingly. */
static void push(struct conn *c) {
  struct h2 *h = c->h2;
  while (h->out_at < h->out_size) {
    ssize_t sent = put(c, h->out + h->out_at, h->out_size - h->out_at);
    if (sent < 0) return errno == EAGAIN ? want(c, EPOLLIN | EPOLLOUT) : die("HTTP/2 not taken");
    h->out_at += (size_t)sent;
  }
  h->out_at = h->out_size = 0;
  want(c, EPOLLIN);
}

static char *message(struct h2 *h, struct call *call, size_t n) {
  if (may_send(h, call) < PREFIX + n) die("message not taken whole");
  char *at = data_frame(h, call, PREFIX + n, 0);
  at[0] = 0;
  put_u32(at + 1, (uint32_t)n);
  return at + PREFIX;
}

/* Each message differs from the one before it, so that an echo cannot be an old one. */
static void echo_message(struct conn *c) {
  c->came = 0;
  c->sent++;
  c->due = now();
  char *at = message(c->h2, c->h2->calls, o.message);
  for (size_t i = 0; i < o.message; i++) at[i] = (char)(c->sent * 7 + i);
}

static void echo_came(struct conn *c, const char *bytes, size_t n) {
  for (size_t i = 0; i < n; i++, c->came++) {
    char due = c->came < PREFIX - 1 ? 0 : c->came == PREFIX - 1 ? (char)o.message : (char)(c->sent * 7 + c->came - PREFIX);
    if (bytes[i] != due) errno = EPROTO, die("another message came back");
  }
  if (c->came < PREFIX + o.message) return;
  if (measuring == 1) record(now() - c->due);
  done++;
  if (measuring != 2) echo_message(c);
}

static void poured(struct conn *c, const char *bytes, size_t n) {
  for (size_t at = 0; at < n;) {
    size_t from = c->came % messages.size, size = messages.size - from < n - at ? messages.size - from : n - at;
    if (memcmp(bytes + at, messages.bytes + from, size)) errno = EPROTO, die("other bytes came");
    c->came += size;
    at += size;
  }
}

/* Fills what windows and room let through; the last frame of all ends the call. */
static void fill_messages(struct conn *c) {
  struct h2 *h = c->h2;
  u64 total = o.warm_bytes + o.bytes;
  for (size_t n; c->sent < total && (n = may_send(h, h->calls));) {
    size_t from = c->sent % messages.size;
    if (n > total - c->sent) n = total - c->sent;
    if (n > messages.size - from) n = messages.size - from;
    memcpy(data_frame(h, h->calls, n, c->sent + n == total ? END_STREAM : 0), messages.bytes + from, n);
    c->sent += n;
    moved += n;
    if (!measuring && moved >= o.warm_bytes) begin();
  }
}

static void pour_messages(struct conn *c) {
  for (u64 before = c->sent + 1; !c->h2->out_size && before != c->sent;) {
    before = c->sent;
    fill_messages(c);
    push(c);
  }
}

static void call_answered(struct h2 *h, struct call *call, const unsigned char *start, size_t n, int is_last) {
  struct conn *c = h->owner;
  if (call->is_answered) return;
  if (is_last || !is_ok(start, n)) errno = EPROTO, die("the call was refused");
  if (*o.mode == 'e') echo_message(c);
  if (*o.mode == 'u') memcpy(message(h, call, 4), "sink", 4);
  if (*o.mode != 'd') return;
  char text[40];
  size_t size = (size_t)sprintf(text, "pour %llu", (unsigned long long)(o.warm_bytes + o.bytes));
  memcpy(message(h, call, size), text, size);
}

static void call_data(struct h2 *h, struct call *call, const char *bytes, size_t n) {
  struct conn *c = h->owner;
  (void)call;
  if (*o.mode == 'e') return moved += n, echo_came(c, bytes, n);
  if (*o.mode == 'd') {
    moved += n;
    poured(c, bytes, n);
    if (!measuring && moved >= o.warm_bytes) begin();
    return;
  }
  if (c->came + n > PREFIX + 8) errno = EPROTO, die("more than a count came back");
  memcpy(c->head + c->came, bytes, n);
  c->came += n;
}

/* The whole of a stream has come, or the count of what was sent. */
static void call_ended(struct h2 *h, struct call *call) {
  struct conn *c = h->owner;
  const unsigned char *count = (unsigned char *)c->head + PREFIX;
  u64 total = o.warm_bytes + o.bytes;
  (void)call;
  int is_whole = *o.mode == 'd' ? c->came == total : *o.mode == 'u' && c->came == PREFIX + 8 && ((u64)get_u32(count) << 32 | get_u32(count + 4)) == total;
  if (!is_whole) errno = EPROTO, die("the call ended without all of its bytes");
  done++;
}

static const struct h2_user caller = {call_answered, call_data, call_ended};

static void call_starts(struct conn *c) {
  struct h2 *h = c->h2 = calloc(1, sizeof *h);
  char block[512], uuid[40], *end = block;
  h->user = &caller;
  h->owner = c;
  c->sent = c->came = 0;
  memcpy(h->out, PREFACE, h->out_size = PREFACE_BYTES);
  greet(h);
  new_call(h, CALL_ID);
  sprintf(uuid, "bench-%ld", (long)(c - conns));
  *end++ = (char)(INDEXED | I_POST);
  *end++ = (char)(INDEXED | I_SCHEME_HTTP);
  end = literal(end, I_PATH, NULL, METHOD);
  end = literal(end, I_AUTHORITY, NULL, "localhost");
  end = literal(end, I_CONTENT_TYPE, NULL, "application/grpc");
  end = literal(end, 0, "te", "trailers");
  end = literal(end, 0, "x-docker-expose-session-uuid", uuid);
  headers(h, CALL_ID, 0, block, end);
  push(c);
}

static void call_bytes(struct conn *c, const char *bytes, size_t n) {
  h2_take(c->h2, bytes, n);
  if (c->h2->broken) errno = EPROTO, die(c->h2->broken);
  push(c);
  if (*o.mode == 'u' && c->h2->calls->is_answered) pour_messages(c);
}

/* === streams === */

static void send_message(struct conn *c) {
  c->came = 0;
  c->due = now();
  if (put(c, stock.bytes, o.message) != (ssize_t)o.message) die("message not taken whole");
}

static void pour(struct conn *c) {
  u64 total = o.warm_bytes + o.bytes;
  while (c->sent < total) {
    size_t at = c->sent % stock.size, n = stock.size - at;
    ssize_t sent = put(c, stock.bytes + at, n < total - c->sent ? n : total - c->sent);
    if (sent < 0) return errno == EAGAIN ? want(c, EPOLLIN | EPOLLOUT) : die("pour");
    c->sent += (u64)sent;
  }
  want(c, EPOLLIN);
}

/* There is room again. */
static void more(struct conn *c) {
  if (!c->h2) return pour(c);
  push(c);
  if (*o.mode == 'u' && c->h2->calls->is_answered) pour_messages(c);
}

static void stream_starts(struct conn *c) {
  c->state = STREAM;
  if (o.h2) return call_starts(c);
  if (*o.mode == 'e') send_message(c);
  if (*o.mode == 'f') pour(c);
}

static void stream_bytes(struct conn *c, const char *bytes, size_t n) {
  if (c->h2) return call_bytes(c, bytes, n);
  moved += n;
  if (*o.mode == 'f') {
    /* every byte is known: the stock again and again */
    for (size_t at = 0; at < n;) {
      size_t from = c->came % stock.size, size = stock.size - from < n - at ? stock.size - from : n - at;
      if (memcmp(bytes + at, stock.bytes + from, size)) errors++;
      c->came += size;
      at += size;
    }
    if (!measuring && moved >= o.warm_bytes) begin();
    return;
  }
  if (c->came + n > o.message || memcmp(bytes, stock.bytes + c->came, n)) errno = EPROTO, die("another message came back");
  if ((c->came += n) < o.message) return;
  if (measuring == 1) record(now() - c->due);
  done++;
  if (measuring != 2) send_message(c);
}

/* === reading === */

static void body_bytes(struct conn *c, const char *bytes, size_t n) {
  size_t used = body_take(&c->body, bytes, n);
  moved += used;
  if (!measuring && o.warm_bytes && !o.upload && moved >= o.warm_bytes) begin();
  if (c->body.broken || used < n) return fail(c, "broken body");
  if (*o.mode == 'h') {
    if (c->body.data && c->state == BODY) c->state = STREAM, held++;
    return;
  }
  if (c->body.done || (o.until_body && c->body.data)) answered(c);
}

static int is_stream(void) { return strchr("efdu", *o.mode) != NULL; }

static void head_bytes(struct conn *c, const char *bytes, size_t n) {
  size_t before = c->head_size, take = n < sizeof c->head - before ? n : sizeof c->head - before;
  memcpy(c->head + before, bytes, take);
  c->head_size += take;
  size_t size = head_end(c->head, c->head_size);
  if (!size) return c->head_size == sizeof c->head ? fail(c, "head too long") : (void)0;
  if (atoi(c->head + 9) != o.status) return fail(c, "unwanted status");
  bytes += size - before;
  n -= size - before;
  if (is_stream()) {
    stream_starts(c);
    if (n) stream_bytes(c, bytes, n);
    return;
  }
  c->body = body_of(c->head, size);
  c->state = BODY;
  if (n || c->body.done) body_bytes(c, bytes, n);
}

static void readable(struct conn *c) {
  do {
    ssize_t n = get(c, buffer, sizeof buffer);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      if (c->state == REST) return close_conn(c);
      if (*o.mode == 'h' && c->state == STREAM) held--, errors++;
      return fail(c, "connection ended");
    }
    if (c->state == STREAM && *o.mode != 'h') stream_bytes(c, buffer, (size_t)n);
    else if (c->state == BODY || c->state == STREAM) body_bytes(c, buffer, (size_t)n);
    else head_bytes(c, buffer, (size_t)n); /* an answer may come before the request has gone */
  } while (c->fd >= 0 && has_more(c));
}

/* === running === */

static u64 started, asked;

/* Starts what is due. Returns nanoseconds until the next is, or 0 where nothing is planned. */
static u64 dispatch(void) {
  if (!o.rate) {
    while (rest_count && !is_over(now())) {
      struct conn *c = resting[rest_head];
      rest_head = (rest_head + 1) % (size_t)o.connections;
      rest_count--;
      ask(c, now());
    }
    return 0;
  }
  double interval = 1e9 / o.rate;
  for (;;) {
    u64 due = started + (u64)((double)asked * interval), t = now();
    if (due > t) return due - t;
    if (!rest_count) return 0;
    struct conn *c = resting[rest_head];
    rest_head = (rest_head + 1) % (size_t)o.connections;
    rest_count--;
    asked++;
    ask(c, due);
  }
}

static void wait_events(u64 at_most) {
  struct epoll_event events[256];
  struct timespec timeout = {(time_t)(at_most / 1000000000u), (long)(at_most % 1000000000u)};
  int n = epoll_pwait2(poller, events, 256, &timeout, NULL);
  for (int i = 0; i < n; i++) {
    struct conn *c = events[i].data.ptr;
    if (c->fd < 0) continue;
    if (c->state == SENDING) send_request(c);
    else if (events[i].events & EPOLLOUT && c->state == STREAM) more(c);
    if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
  }
}

/* What was due but never got its turn has waited, too. */
static void record_backlog(void) {
  if (!o.rate) return;
  for (;; asked++) {
    u64 due = started + (u64)((double)asked * 1e9 / o.rate);
    if (due >= ended) return;
    record(ended - due);
  }
}

static void run(void) {
  started = now();
  u64 warm = (u64)(o.warmup * 1e9), progress = 0, latest = started;
  if (is_stream())
    while (rest_count) {
      rest_count--;
      ask(resting[rest_head++], now());
    }
  for (;;) {
    if (!measuring && !o.warm_bytes && (o.warm_count ? done >= o.warm_count : now() - started >= warm)) begin();
    u64 t = now();
    if (is_over(t)) break;
    u64 soon = *o.mode == 'a' ? dispatch() : 0;
    wait_events(soon ? 0 : LOOK_UP);
    if (soon) sched_yield(); /* awake until the next is due, for the same reason; the engine goes first */
    if (progress != moved + done) progress = moved + done, latest = t;
    if (t - latest > PATIENCE) (errno = ETIMEDOUT), die("nothing came or went for 10 s");
  }
  end();
  record_backlog();
}

static void settle(double seconds) {
  for (u64 until = now() + (u64)(seconds * 1e9); now() < until;) wait_events(10000000);
}

static void hold(void) {
  int low = o.connections / 16, opened = 0;
  begin();
  for (u64 since = now(); held < (u64)o.connections;) {
    int limit = held < (u64)low ? low : o.connections;
    while (opened < limit && opened - (int)held < 64) ask(&conns[opened++], now());
    wait_events(1000000);
    if (held == (u64)low && opened == low) {
      settle(0.5);
      look(at_low);
      limit = o.connections;
      ask(&conns[opened++], now());
    }
    if (now() - since > PATIENCE_OPENING) (errno = ETIMEDOUT), die("streams not open");
  }
  settle(0.5);
  end();
}

/* === report === */

/* Of interest where one process hands connections to several. */
static void print_served(void) {
  printf(",\"served\":[");
  if (groups[0].count > 2 && !strncmp(o.to, "tcp:", 4)) {
    find_served(o.to + 4);
    for (int i = 0; i < groups[0].count; i++) printf("%s%d", i ? "," : "", served_by(groups[0].pids[i]));
  }
  printf("]");
}

static void print(void) {
  printf("{\"seconds\":%.9f,\"requests\":%llu,\"errors\":%llu,\"bytes\":%llu,\"client_cpu_ns\":%llu,\"max_ns\":%llu,\"watched\":{",
      (double)(ended - begun) / 1e9, (unsigned long long)done, (unsigned long long)errors,
      (unsigned long long)(moved - moved_at_begin), (unsigned long long)(cpu_at_end - cpu_at_begin), (unsigned long long)largest);
  for (int i = 0; i < group_count; i++)
    printf("%s\"%s\":{\"cpu_ns\":%llu,\"switches\":%llu,\"rss_kb\":%llu,\"low_rss_kb\":%llu}", i ? "," : "", groups[i].name,
        (unsigned long long)(at_end[i].cpu - at_begin[i].cpu), (unsigned long long)(at_end[i].switches - at_begin[i].switches),
        (unsigned long long)at_end[i].rss_kb, (unsigned long long)at_low[i].rss_kb);
  printf("}");
  print_served();
  printf(",\"histogram\":[");
  for (u64 i = 0, n = 0; i < sizeof histogram / sizeof *histogram; i++)
    if (histogram[i]) printf("%s[%llu,%llu]", n++ ? "," : "", (unsigned long long)middle(i), (unsigned long long)histogram[i]);
  printf("]}\n");
}

/* What this build can do, for whoever plans a run. */
static void print_features(void) {
#ifdef WITH_TLS
  puts("tls");
#endif
}

static void watch_group(char *text) {
  struct group *group = &groups[group_count++];
  char *pids = strchr(text, ':');
  snprintf(group->name, sizeof group->name, "%.*s", (int)(pids - text), text);
  for (char *pid = strtok(pids + 1, ","); pid && group->count < 64; pid = strtok(NULL, ",")) group->pids[group->count++] = atoi(pid);
}

static void read_request(void) {
  FILE *file = fopen(o.request, "r");
  if (!file) die(o.request);
  request = malloc(1 << 20);
  request_size = fread(request, 1, (1 << 20) - 1, file);
  request[request_size] = 0;
  varying = strstr(request, VARYING);
  fclose(file);
}

static void parse(int argc, char **argv) {
  static const struct option options[] = {
      {"to", 1, 0, 't'}, {"request", 1, 0, 'r'}, {"connections", 1, 0, 'c'}, {"fresh", 0, 0, 'f'}, {"until-body", 0, 0, 'b'},
      {"status", 1, 0, 's'}, {"seconds", 1, 0, 'd'}, {"warmup", 1, 0, 'w'}, {"rate", 1, 0, 'R'}, {"count", 1, 0, 'n'},
      {"bytes", 1, 0, 'B'}, {"warm-bytes", 1, 0, 'W'}, {"message", 1, 0, 'm'}, {"expect", 1, 0, 'e'}, {"upload", 1, 0, 'u'},
      {"chunked", 0, 0, 'k'}, {"tls", 1, 0, 'T'}, {"h2", 0, 0, 'H'}, {"watch", 1, 0, 'p'},
      {"warm-count", 1, 0, 'N'}, {0}};
  if (argc < 2) die("no mode");
  o.mode = argv[1];
  optind = 2;
  for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    u64 n = optarg ? strtoull(optarg, NULL, 10) : 0;
    switch (c) {
      case 't': o.to = optarg; break;
      case 'r': o.request = optarg; break;
      case 'c': o.connections = (int)n; break;
      case 'f': o.fresh = 1; break;
      case 'b': o.until_body = 1; break;
      case 's': o.status = (int)n; break;
      case 'd': o.seconds = atof(optarg); break;
      case 'w': o.warmup = atof(optarg); break;
      case 'R': o.rate = atof(optarg); break;
      case 'n': o.count = n; break;
      case 'N': o.warm_count = n; break;
      case 'B': o.bytes = n; break;
      case 'W': o.warm_bytes = n; break;
      case 'm': o.message = n; break;
      case 'e': o.expect = n; break;
      case 'u': o.upload = n; break;
      case 'k': o.chunked = 1; break;
      case 'T': o.tls = optarg; break;
      case 'H': o.h2 = 1; break;
      case 'p': watch_group(optarg); break;
      default: exit(2);
    }
  }
  if (!o.to || !o.request) die("--to and --request are needed");
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "features")) return print_features(), 0;
  parse(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_TIMERSLACK, 1);
  read_request();
  stock = make_stock(o.chunked);
  messages = make_messages();
  upload_wire = wire_size(o.upload, o.chunked);
  poller = epoll_create1(EPOLL_CLOEXEC);
  conns = calloc((size_t)o.connections, sizeof *conns);
  resting = calloc((size_t)o.connections, sizeof *resting);
  for (int i = 0; i < o.connections; i++) {
    conns[i].fd = -1;
    if (*o.mode != 'h') rest(&conns[i]);
  }
  if (*o.mode == 'h') hold();
  else run();
  print();
  return errors ? 3 : 0;
}
