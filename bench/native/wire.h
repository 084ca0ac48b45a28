/* Just enough HTTP/1.1 for both ends of a bench: finds heads, and follows bodies without keeping them. */
#ifndef WIRE_H
#define WIRE_H
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Size of the data of one chunk: what Go's io.Copy makes, and so what dockerd and docker send. */
#define CHUNK 32768
#define CHUNK_LINE "8000\r\n"
#define CHUNK_WIRE (sizeof CHUNK_LINE - 1 + CHUNK + 2)
#define LAST_CHUNK "0\r\n\r\n"
/* Chunks in one stock of ready-made body bytes. */
#define STOCK_CHUNKS 32

enum body_kind { NO_BODY, LENGTH, CHUNKED };
enum chunk_state { SIZE, SIZE_LF, DATA, DATA_CR, DATA_LF, END_CR, END_LF };

struct body {
  enum body_kind kind;
  enum chunk_state state;
  uint64_t left;
  uint64_t data; /* bytes without chunk lines, so far */
  int done, broken;
};

/* Bytes of the head with its empty line, or 0 while that has not come. */
static inline size_t head_end(const char *bytes, size_t n) {
  const char *end = memmem(bytes, n, "\r\n\r\n", 4);
  return end ? (size_t)(end - bytes) + 4 : 0;
}

/* The value of a field of a head, not terminated; NULL where it is missing. */
static inline const char *field(const char *head, size_t n, const char *name) {
  size_t size = strlen(name);
  for (const char *at = memchr(head, '\n', n); at; at = memchr(at, '\n', n - (size_t)(at - head))) {
    at++;
    if (n - (size_t)(at - head) <= size + 1) return NULL;
    if (at[size] == ':' && !strncasecmp(at, name, size)) {
      at += size + 1;
      while (*at == ' ') at++;
      return at;
    }
  }
  return NULL;
}

static inline struct body body_of(const char *head, size_t n) {
  struct body body = {0};
  const char *length = field(head, n, "content-length");
  const char *coding = field(head, n, "transfer-encoding");
  if (coding && !strncasecmp(coding, "chunked", 7)) body.kind = CHUNKED;
  else if (length) {
    body.kind = LENGTH;
    body.left = strtoull(length, NULL, 10);
  }
  body.done = body.kind == NO_BODY || (body.kind == LENGTH && body.left == 0);
  return body;
}

static inline void chunk_byte(struct body *body, char c) {
  int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
  switch (body->state) {
    case SIZE:
      if (digit >= 0) body->left = body->left * 16 + (uint64_t)digit;
      else if (c == '\r') body->state = SIZE_LF;
      else body->broken = 1;
      return;
    case SIZE_LF: body->state = body->left ? DATA : END_CR; break;
    case DATA_CR: body->state = DATA_LF; break;
    case DATA_LF: body->state = SIZE; break;
    case END_CR: body->state = END_LF; break;
    case END_LF: body->done = 1; break;
    case DATA: break;
  }
  body->broken |= c != '\r' && c != '\n';
}

/* Takes what of `bytes` belongs to the body; returns how many bytes that were. */
static inline size_t body_take(struct body *body, const char *bytes, size_t n) {
  size_t at = 0;
  while (at < n && !body->done && !body->broken) {
    if (body->kind == CHUNKED && body->state != DATA) {
      chunk_byte(body, bytes[at++]);
      continue;
    }
    uint64_t take = n - at < body->left ? n - at : body->left;
    at += take;
    body->left -= take;
    body->data += take;
    if (body->left) continue;
    if (body->kind == CHUNKED) body->state = DATA_CR;
    else body->done = 1;
  }
  return at;
}

/* Body bytes to send, made once: a stock that is sent again and again from its start. */
struct stock {
  char *bytes;
  size_t size;
};

static inline struct stock make_stock(int chunked) {
  size_t piece = chunked ? CHUNK_WIRE : CHUNK;
  struct stock stock = {malloc(piece * STOCK_CHUNKS), piece * STOCK_CHUNKS};
  for (int i = 0; i < STOCK_CHUNKS; i++) {
    char *at = stock.bytes + piece * (size_t)i;
    if (chunked) at = (char *)memcpy(at, CHUNK_LINE, sizeof CHUNK_LINE - 1) + sizeof CHUNK_LINE - 1;
    for (int b = 0; b < CHUNK; b++) at[b] = (char)(b * 131 + i);
    if (chunked) memcpy(at + CHUNK, "\r\n", 2);
  }
  return stock;
}

/* Bytes on the wire of a body of `data` bytes, its last chunk not counted; `data` is a multiple of CHUNK where chunked. */
static inline uint64_t wire_size(uint64_t data, int chunked) {
  return chunked ? data / CHUNK * CHUNK_WIRE : data;
}
#endif
