/* torture_sockets.h: scenarios of the torture that make their own hub, through
 * the public interface. Each ends with a session that has memory. */
#ifndef WSH_TEST_TORTURE_SOCKETS_H
#define WSH_TEST_TORTURE_SOCKETS_H

/* Create and destroy. */
void torture_create(void);
/* Real sockets: start, clients, stop; on threads of the hub, or a host loop. */
void torture_threads(void);
void torture_host_loop(void);
/* libwebsockets's own allocations, once the hub runs. (While it starts 4.1.6
 * does not survive by itself: of 28 points there 8 end the process inside of
 * it, 2 leak.) */
void torture_lws(void);

#endif
