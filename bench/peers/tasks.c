/*
 * The marks in C for the benchmarks of tasks:
 *
 *   cc -O2 -o tasks tasks.c -lpthread && ./tasks pingpong [idle-thread]
 *
 * Prints one line of JSON. pingpong: one byte to and fro between two pipes that
 * one epoll loop watches; with a last argument beside one more, idle thread.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *idle(void *unused) {
  for (;;) pause();
  return unused;
}

int main(int argc, char **argv) {
  const int trips = 300000;
  pthread_t thread;
  if (argc < 2 || strcmp(argv[1], "pingpong") != 0) {
    fprintf(stderr, "not in C\n");
    return 2;
  }
  if (argc > 2) pthread_create(&thread, NULL, idle, NULL);
  int there[2], back[2];
  if (pipe2(there, O_NONBLOCK) < 0 || pipe2(back, O_NONBLOCK) < 0) return 1;
  int set = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = there[0]};
  epoll_ctl(set, EPOLL_CTL_ADD, there[0], &event);
  event.data.fd = back[0];
  epoll_ctl(set, EPOLL_CTL_ADD, back[0], &event);
  char byte = 'x';
  double start = now();
  if (write(there[1], &byte, 1) != 1) return 1;
  for (int done = 0; done < trips;) {
    struct epoll_event events[16];
    int n = epoll_wait(set, events, 16, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (read(fd, &byte, 1) != 1) return 1;
      if (fd == back[0] && ++done == trips) break;
      if (write(fd == there[0] ? back[1] : there[1], &byte, 1) != 1) return 1;
    }
  }
  printf("{\"perSecond\": %.0f}\n", trips / (now() - start));
  return 0;
}
