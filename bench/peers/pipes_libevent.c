/*
 * The pipes benchmark on libevent: as pipes.c, with persistent events.
 *
 *   cc -O2 -o pipes_libevent pipes_libevent.c -levent -lpthread
 *   ./pipes_libevent epoll|poll|select pipes active writes runs [idle-thread]
 *
 * Prints the time of each run in µs, one a line, the first (cold) one left out.
 */
#define _GNU_SOURCE
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int pipes, active, writes, left, fired, count;
static int (*ends)[2];

static double micros(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void *idle(void *unused) {
  for (;;) pause();
  return unused;
}

static void on_read(evutil_socket_t fd, short what, void *which) {
  char byte[4];
  ssize_t n = read(fd, byte, sizeof byte);
  (void)what;
  if (n <= 0) return;
  count += (int)n;
  if (left == 0) return;
  int next = (int)(intptr_t)which + 1;
  if (next == pipes) next = 0;
  if (write(ends[next][1], "e", 1) != 1) exit(1);
  left--;
  fired++;
}

int main(int argc, char **argv) {
  static const char *methods[] = {"epoll", "poll", "select"};
  if (argc < 6) return 2;
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
  struct event_config *config = event_config_new();
  for (int i = 0; i < 3; i++)
    if (strcmp(methods[i], argv[1]) != 0)
      event_config_avoid_method(config, methods[i]);
  struct event_base *base = event_base_new_with_config(config);
  if (base == NULL || strcmp(event_base_get_method(base), argv[1]) != 0) {
    fprintf(stderr, "libevent has no method %s\n", argv[1]);
    return 1;
  }
  ends = calloc((size_t)pipes, sizeof *ends);
  for (int i = 0; i < pipes; i++) {
    if (pipe2(ends[i], O_NONBLOCK) < 0) {
      perror("pipe2");
      return 1;
    }
    event_add(event_new(base, ends[i][0], EV_READ | EV_PERSIST, on_read,
                        (void *)(intptr_t)i),
              NULL);
  }
  int space = pipes / active;
  for (int run = 0; run <= runs; run++) {
    left = writes;
    count = 0;
    for (fired = 0; fired < active; fired++)
      if (write(ends[fired * space][1], "e", 1) != 1) return 1;
    double start = micros();
    do event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    while (count != fired);
    if (run > 0) printf("%.1f\n", micros() - start);
  }
  return 0;
}
