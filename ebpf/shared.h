#ifndef WEFT_EBPF_SHARED_H_
#define WEFT_EBPF_SHARED_H_
/* The vocabulary that the kernel programs and C++ share: what is known of a pod, what a socket is
 * marked as, and a name for every way a packet can leave a program. Plain C, fixed widths, no
 * implicit padding. Both sides include this file, so that a change which would make them disagree
 * does not compile. */

#include <linux/types.h>

enum {
	WEFT_ADDRESSES = 8,		/* of one family, one pod */
	WEFT_EXEMPT_CGROUPS = 64,	/* ztunnels of one node, old and new */
	WEFT_PROBED_ADDRESSES = 4096,	/* of the pods of one node */
	WEFT_LOOPBACK_IFINDEX = 1,	/* in every network namespace */

	WEFT_PORT_OUTBOUND = 15001,
	WEFT_PORT_INBOUND = 15006,
	WEFT_PORT_HBONE = 15008,
	WEFT_PORT_DNS = 15053,

	/* On packets that were redirected to loopback: routes them locally, proves nothing. */
	WEFT_MARK = 0x111,
	WEFT_MARK_MASK = 0xfff,
	WEFT_ROUTE_TABLE = 100,
	WEFT_RULE_PRIORITY = 32764,
};

/* What a pod's programs know about it; fixed when they are loaded. Network byte order. */
struct weft_pod {
	__u32 v4_count;
	__u32 v6_count;
	__u32 v4[WEFT_ADDRESSES];
	__u32 v6[WEFT_ADDRESSES][4];
	__u32 primary_ifindex;	/* the interface whose packets must carry the pod's addresses */
	__u32 probe_v4;		/* where the kubelet's probes come from; 0: no such exemption */
	__u32 probe_v6[4];
	__u32 lets_go;		/* the pod leaves: new connections pass, captured ones go on */
};

/* What the programs for the kubelet's probes know; fixed when they are loaded. Network order. */
struct weft_probe {
	__u64 cgroup;		/* the kubelet's */
	__u64 netns;		/* the node's, by its cookie */
	__u32 v4;		/* where probes come from */
	__u32 v6[4];
	__u32 unused;
};

/* An address of a pod; IPv4 as ::ffff:a.b.c.d. */
struct weft_address {
	__u32 words[4];
};

/* What a socket of the pod is; kept in socket storage. */
enum weft_socket {
	WEFT_SOCKET_UNMARKED = 0,	/* accepted by the application: ztunnel is its peer, nobody else */
	WEFT_SOCKET_CAPTURED = 1,	/* its connection goes through ztunnel, or nowhere */
	WEFT_SOCKET_OLDER = 2,		/* connected before the pod was enrolled */
	WEFT_SOCKET_ZTUNNEL = 3,	/* only in lists: ztunnel's own, known by its cgroup */
	WEFT_SOCKET_RELAYED = 4,	/* as UNMARKED, of a pod that is let go, whose new ones are not */
};

/* One connected socket, as the iterator writes it. */
struct weft_connection {
	__u64 cookie;
	__u32 family;		/* AF_INET or AF_INET6 */
	__u32 state;		/* TCP_ESTABLISHED ... */
	__u32 local[4];		/* IPv4 in the first word */
	__u32 remote[4];
	__u16 local_port;	/* host order */
	__u16 remote_port;
	__u32 mark;		/* enum weft_socket */
};

/* Every way out of a program, with the name that metrics and `weft-agent list` give it. */
#define WEFT_OUTCOMES_OF(X)                                                                        \
	/* egress: packets the pod sends; passed */                                                \
	X(EGRESS_ARP, "egress_arp")                                                                \
	X(EGRESS_OTHER, "egress_other")			/* ICMP, UDP, SCTP, ... */                 \
	X(EGRESS_ZTUNNEL, "egress_ztunnel")		/* sent by ztunnel */                      \
	X(EGRESS_OLDER, "egress_older")			/* connected before enrolment */           \
	X(EGRESS_PROBE_REPLY, "egress_probe_reply")                                                \
	X(EGRESS_KERNEL_REPLY, "egress_kernel_reply")	/* no socket's: RST, ACK, cookie */        \
	/* egress; to ztunnel by way of loopback */                                                \
	X(EGRESS_CAPTURED_SYN, "egress_captured_syn")                                              \
	X(EGRESS_CAPTURED, "egress_captured")                                                      \
	X(EGRESS_REPLY, "egress_reply")			/* to the client ztunnel stands in for */  \
	X(EGRESS_DNS, "egress_dns")                                                                \
	/* egress; dropped */                                                                      \
	X(EGRESS_NOT_IP, "egress_dropped_not_ip")                                                  \
	X(EGRESS_UNREADABLE, "egress_dropped_unreadable")                                          \
	X(EGRESS_SPOOFED, "egress_dropped_spoofed")                                                \
	X(EGRESS_FORGED, "egress_dropped_forged")	/* TCP by no TCP socket */                 \
	X(EGRESS_NO_MEMORY, "egress_dropped_no_memory")                                            \
	X(EGRESS_UNOWNED, "egress_dropped_unowned")	/* its way through ztunnel is gone */      \
	/* loopback: what egress redirected */                                                     \
	X(STEER_CONNECTED, "steer_connected")		/* to the socket that has the connection */\
	X(STEER_OUTBOUND, "steer_outbound")		/* to 15001 */                             \
	X(STEER_DNS, "steer_dns")			/* to 15053 */                             \
	X(STEER_UNREADABLE, "steer_dropped_unreadable")                                            \
	X(STEER_NO_ZTUNNEL, "steer_dropped_no_ztunnel")                                            \
	X(STEER_NOT_ZTUNNEL, "steer_dropped_not_ztunnel") /* somebody else has the port */         \
	X(STEER_REFUSED, "steer_dropped_refused")	/* the kernel refused the socket */        \
	/* inbound: packets sent to the pod; passed */                                             \
	X(INBOUND_OTHER, "inbound_other")                                                          \
	X(INBOUND_HBONE, "inbound_hbone")                                                          \
	X(INBOUND_ZTUNNEL, "inbound_ztunnel")		/* of a connection that ztunnel has */     \
	X(INBOUND_OLDER, "inbound_older")                                                          \
	X(INBOUND_PROBE, "inbound_probe")                                                          \
	X(INBOUND_ASSIGNED, "inbound_assigned")		/* to 15006 */                             \
	/* inbound; dropped */                                                                     \
	X(INBOUND_UNREADABLE, "inbound_dropped_unreadable")                                        \
	X(INBOUND_SPOOFED, "inbound_dropped_spoofed")	/* from the pod's own address */           \
	X(INBOUND_INJECTED, "inbound_dropped_injected")	/* for a socket only ztunnel may speak to */\
	X(INBOUND_NO_ZTUNNEL, "inbound_dropped_no_ztunnel")                                        \
	X(INBOUND_NOT_ZTUNNEL, "inbound_dropped_not_ztunnel")                                      \
	X(INBOUND_REFUSED, "inbound_dropped_refused")

enum weft_outcome {
#define WEFT_OUTCOME_ENUMERATOR(name, text) WEFT_##name,
	WEFT_OUTCOMES_OF(WEFT_OUTCOME_ENUMERATOR)
#undef WEFT_OUTCOME_ENUMERATOR
	WEFT_OUTCOMES,
};

#endif
