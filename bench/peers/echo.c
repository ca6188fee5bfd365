/*
 * The C mark for the echo benchmark: one thread, epoll, level-triggered,
 * registrations kept; per message one recv and one send.
 *
 *   cc -O2 -o echo echo.c && ./echo [idle-thread]
 *
 * Prints its port on the first line. With an argument it starts one more
 * thread that sleeps: descriptors cost more in a process with several threads,
 * which every Deno process is (link with -lpthread).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void *idle(void *unused) {
  for (;;) pause();
  return unused;
}

int main(int argc, char **argv) {
  pthread_t thread;
  (void)argv;
  if (argc > 1) pthread_create(&thread, NULL, idle, NULL);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, length) < 0 ||
      listen(listener, 1024) < 0 ||
      getsockname(listener, (struct sockaddr *)&address, &length) < 0) {
    perror("listen");
    return 1;
  }
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);

  int set = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
  static struct epoll_event events[1024];
  static char buffer[65536];
  for (;;) {
    int n = epoll_wait(set, events, 1024, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        int conn;
        while ((conn = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
          event.events = EPOLLIN;
          event.data.fd = conn;
          epoll_ctl(set, EPOLL_CTL_ADD, conn, &event);
        }
        continue;
      }
      ssize_t got = recv(fd, buffer, sizeof buffer, 0);
      if (got > 0) {
        if (send(fd, buffer, (size_t)got, MSG_NOSIGNAL) == got) continue;
      } else if (got < 0 && errno == EAGAIN) {
        continue;
      }
      close(fd);
    }
  }
}
