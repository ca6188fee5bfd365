/*
 * The pipes benchmark in C, on a bare epoll, poll or select.
 *
 *   cc -O2 -o pipes pipes.c -lpthread
 *   ./pipes epoll|poll|select pipes active writes runs [idle-thread]
 *
 * After libevent's and libev's bench.c: `active` of the pipes get a byte; every
 * reader reads it and, while writes are left, writes one to the next pipe.
 * Prints the time of each run in µs, one a line, the first (cold) one left out.
 * With a last argument it starts one more thread that sleeps: descriptors cost
 * more in a process with several threads, which every Deno process is.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#define BITS (8 * (int)sizeof(long))

static int pipes, active, writes, left, fired, count;
static int (*ends)[2];
static int *owner; /* Which pipe a descriptor reads. */

static double micros(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void *idle(void *unused) {
  for (;;) pause();
  return unused;
}

static void on_read(int fd) {
  char byte[4];
  ssize_t n = read(fd, byte, sizeof byte);
  if (n <= 0) return;
  count += (int)n;
  if (left == 0) return;
  int next = owner[fd] + 1;
  if (next == pipes) next = 0;
  if (write(ends[next][1], "e", 1) != 1) exit(1);
  left--;
  fired++;
}

static int set;

static void setup_epoll(void) {
  set = epoll_create1(0);
  for (int i = 0; i < pipes; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = ends[i][0]};
    epoll_ctl(set, EPOLL_CTL_ADD, ends[i][0], &event);
  }
}

static void loop_epoll(void) {
  static struct epoll_event events[1024];
  int n = epoll_wait(set, events, 1024, 0);
  for (int i = 0; i < n; i++) on_read(events[i].data.fd);
}

static struct pollfd *pollfds;

static void setup_poll(void) {
  pollfds = calloc((size_t)pipes, sizeof *pollfds);
  for (int i = 0; i < pipes; i++) {
    pollfds[i].fd = ends[i][0];
    pollfds[i].events = POLLIN;
  }
}

static void loop_poll(void) {
  int n = poll(pollfds, (nfds_t)pipes, 0);
  for (int i = 0; n > 0; i++) {
    if (pollfds[i].revents == 0) continue;
    n--;
    on_read(pollfds[i].fd);
  }
}

/* Sets as large as needed: FD_SETSIZE is a limit of the macros alone. */
static unsigned long *wanted, *ready;
static int words, top;

static void setup_select(void) {
  for (int i = 0; i < pipes; i++)
    if (ends[i][0] > top) top = ends[i][0];
  words = top / BITS + 1;
  wanted = calloc((size_t)words, sizeof *wanted);
  ready = calloc((size_t)words, sizeof *ready);
  for (int i = 0; i < pipes; i++)
    wanted[ends[i][0] / BITS] |= 1UL << (ends[i][0] % BITS);
}

static void loop_select(void) {
  struct timeval none = {0, 0};
  memcpy(ready, wanted, (size_t)words * sizeof *ready);
  int n = select(top + 1, (fd_set *)(void *)ready, NULL, NULL, &none);
  for (int w = 0; n > 0 && w < words; w++) {
    for (unsigned long bits = ready[w]; bits != 0; bits &= bits - 1) {
      on_read(w * BITS + __builtin_ctzl(bits));
      n--;
    }
  }
}

int main(int argc, char **argv) {
  if (argc < 6) {
    fprintf(stderr, "usage: pipes epoll|poll|select pipes active writes runs\n");
    return 2;
  }
  pipes = atoi(argv[2]);
  active = atoi(argv[3]);
  writes = atoi(argv[4]);
  int runs = atoi(argv[5]);
  pthread_t thread;
  if (argc > 6) pthread_create(&thread, NULL, idle, NULL);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  ends = calloc((size_t)pipes, sizeof *ends);
  owner = calloc(2 * (size_t)pipes + 1024, sizeof *owner);
  for (int i = 0; i < pipes; i++) {
    if (pipe2(ends[i], O_NONBLOCK) < 0) {
      perror("pipe2");
      return 1;
    }
    owner[ends[i][0]] = i;
  }
  void (*loop)(void) = loop_epoll;
  if (strcmp(argv[1], "poll") == 0) {
    setup_poll();
    loop = loop_poll;
  } else if (strcmp(argv[1], "select") == 0) {
    setup_select();
    loop = loop_select;
  } else {
    setup_epoll();
  }
  int space = pipes / active;
  for (int run = 0; run <= runs; run++) {
    left = writes;
    count = 0;
    for (fired = 0; fired < active; fired++)
      if (write(ends[fired * space][1], "e", 1) != 1) return 1;
    double start = micros();
    do loop();
    while (count != fired);
    if (run > 0) printf("%.1f\n", micros() - start);
  }
  return 0;
}
