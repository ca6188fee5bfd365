/*
 * Load for the echo benchmark: keeps one 64-byte message under way on each of
 * `active` connections, beside `idle` silent ones, and counts round trips. Or,
 * given a rate, sends so many messages a second, on the connections in turn.
 *
 *   cc -O2 -o load load.c
 *   ./load port active idle warm-up-ms measure-ms pid [rate]
 *
 * Prints one line: messages, seconds, CPU seconds of process `pid` meanwhile
 * (0 if there is no such process), and by how many KiB its memory grew for each
 * connection of the second half of the idle ones (the first pays for what a
 * runtime needs once).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SIZE 64

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The CPU time of a process and all its threads. */
static double cpu(int pid) {
  clockid_t clock;
  struct timespec t;
  if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0) return 0;
  if (clock_gettime(clock, &t) != 0) return 0;
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The resident memory of a process, KiB. */
static long memory(int pid) {
  char path[64], line[256];
  long kib = 0;
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "VmRSS: %ld", &kib) == 1) break;
  fclose(file);
  return kib;
}

static int dial(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  int one = 1;
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons((unsigned short)port);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    perror("connect");
    exit(1);
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

int main(int argc, char **argv) {
  if (argc < 7) {
    fprintf(stderr, "usage: load port active idle warm-up-ms ms pid [rate]\n");
    return 2;
  }
  int port = atoi(argv[1]), active = atoi(argv[2]), idle = atoi(argv[3]);
  double warm_up = atof(argv[4]) / 1000, measure = atof(argv[5]) / 1000;
  int pid = atoi(argv[6]);
  double gap = argc > 7 && atof(argv[7]) > 0 ? 1 / atof(argv[7]) : 0;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  char message[SIZE], answer[SIZE];
  memset(message, 'm', SIZE);
  long half = 0, all = 0;
  for (int i = 0; i < idle; i++) {
    if (i == idle / 2) {
      usleep(300000);
      half = memory(pid);
    }
    dial(port);
    /* Let the server keep up: the backlog is finite. */
    if (i % 100 == 99) usleep(5000);
  }
  if (idle > 1) {
    usleep(300000);
    all = memory(pid);
  }
  int set = epoll_create1(0);
  static int got[65536], fds[65536], under_way[65536];
  for (int i = 0; i < active; i++) {
    int fd = fds[i] = dial(port);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    if (gap > 0) continue;
    if (send(fd, message, SIZE, MSG_NOSIGNAL) != SIZE) return 1;
  }
  double start = now() + warm_up, end = start + measure, next = now();
  int turn = 0;
  double used = 0;
  long count = 0;
  int measuring = 0;
  struct epoll_event events[1024];
  for (;;) {
    int n = epoll_wait(set, events, 1024, gap > 0 ? 0 : 1000);
    double at = now();
    for (; gap > 0 && next <= at; next += gap) {
      int fd = fds[turn++ % active];
      if (under_way[fd]) continue;
      under_way[fd] = 1;
      if (send(fd, message, SIZE, MSG_NOSIGNAL) != SIZE) return 1;
    }
    if (!measuring && at >= start) {
      measuring = 1;
      start = at;
      end = start + measure;
      used = cpu(pid);
      count = 0;
    }
    if (measuring && at >= end) {
      double grown = idle > 1 ? (double)(all - half) / (idle - idle / 2) : 0;
      double spent = cpu(pid) - used;
      printf("%ld %.6f %.6f %.3f\n", count, at - start, spent, grown);
      return 0;
    }
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      ssize_t r = recv(fd, answer, SIZE, MSG_DONTWAIT);
      if (r < 0 && errno == EAGAIN) continue;
      if (r <= 0) {
        fprintf(stderr, "the server closed a connection\n");
        return 1;
      }
      got[fd] += (int)r;
      if (got[fd] < SIZE) continue;
      got[fd] = 0;
      count++;
      under_way[fd] = 0;
      if (gap > 0) continue;
      if (send(fd, message, SIZE, MSG_NOSIGNAL) != SIZE) return 1;
    }
  }
}
