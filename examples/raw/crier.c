// What a microcontroller needs to talk to crier: a socket, and these lines. No library, no allocation, one small buffer.
// Every line of the input, of at most 500 bytes, is said, every message that is heard is a line of the output.
//
//   cc -o crier crier.c && ./crier 127.0.0.1 8080 "/?topic=sensors"
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

static uint8_t buf[1024]; // one message; longer ones are cut
static int sock;

static int dial(const char *host, const char *port) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  if (getaddrinfo(host, port, &hints, &found)) return -1;
  int s = -1;
  for (struct addrinfo *a = found; a; a = a->ai_next) {
    s = socket(a->ai_family, a->ai_socktype, 0);
    if (s >= 0 && !connect(s, a->ai_addr, a->ai_addrlen)) break;
    close(s);
    s = -1;
  }
  freeaddrinfo(found);
  return s;
}

// take reads exactly n bytes.
static int take(void *to, size_t n) {
  for (uint8_t *at = to; n;) {
    ssize_t got = read(sock, at, n);
    if (got <= 0) return 0;
    at += got;
    n -= got;
  }
  return 1;
}

// give sends one frame of at most 65,535 bytes. A client must mask what it says; a mask of zeros changes nothing.
static int give(int op, const void *data, size_t n) {
  uint8_t head[8] = {0x80 | op, 0x80 | (n < 126 ? n : 126), n < 126 ? 0 : n >> 8, n};
  size_t headed = n < 126 ? 6 : 8;
  if (n < 126) head[3] = 0;
  return write(sock, head, headed) == (ssize_t)headed && write(sock, data, n) == (ssize_t)n;
}

// greet turns the connection into a WebSocket. The key is for caches between here and there; any will do.
static int greet(const char *host, const char *port, const char *path) {
  int n = snprintf((char *)buf, sizeof buf,
                   "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bWljcm9jb250cm9sbGVycw==\r\n\r\n", path, host, port);
  if (n >= (int)sizeof buf || write(sock, buf, n) != n) return 0;
  for (n = 0; n < (int)sizeof buf - 1 && take(buf + n, 1); n++) // to the empty line, and no byte further
    if (n > 2 && !memcmp(buf + n - 3, "\r\n\r\n", 4)) break;
  if (!memcmp(buf, "HTTP/1.1 101", 12)) return 1;
  return fprintf(stderr, "refused: %.*s\n", n, (char *)buf), 0;
}

// hear reads one frame and does what it asks for. crier sends each message in one.
static int hear(void) {
  uint8_t head[2], size[8];
  if (!take(head, 2)) return 0;
  uint64_t n = head[1] & 127;
  int more = n == 126 ? 2 : n == 127 ? 8 : 0;
  if (!take(size, more)) return 0;
  if (more) n = 0;
  for (int i = 0; i < more; i++) n = n << 8 | size[i];
  size_t kept = n < sizeof buf ? n : sizeof buf;
  uint8_t drop;
  if (!take(buf, kept)) return 0;
  for (uint64_t i = kept; i < n; i++)
    if (!take(&drop, 1)) return 0;
  switch (head[0] & 15) {
  case TEXT: printf("%.*s\n", (int)kept, (char *)buf); return !fflush(stdout);
  case PING: return give(PONG, buf, kept);
  case CLOSE: give(CLOSE, buf, kept); return 0;
  }
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: crier HOST PORT PATH\n"), 2;
  if ((sock = dial(argv[1], argv[2])) < 0 || !greet(argv[1], argv[2], argv[3])) return 1;
  struct pollfd both[] = {{.fd = sock, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  for (char line[512]; poll(both, 2, -1) > 0;) {
    if (both[0].revents && !hear()) return 0;
    if (!both[1].revents) continue;
    ssize_t n = read(0, line, sizeof line);
    if (n <= 0) return !give(CLOSE, "\x03\xe8", 2); // 1000: done
    for (char *at = line, *end = line + n, *eol; at < end; at = eol + 1) {
      if (!(eol = memchr(at, '\n', end - at))) eol = end;
      if (!give(TEXT, at, eol - at)) return 1;
    }
  }
}
