// SPDX-License-Identifier: GPL-2.0
/* Steering: hands each packet that `egress` sent back in to the socket that it belongs to.
 *
 * Attached to tc ingress of loopback in the pod's namespace. A connection that exists gets its
 * packet; a new one goes to ztunnel's listener on 15001, and to 15053 if port 53 was dialled. The
 * packet keeps its addresses; its mark makes the routing table take it for local.
 *
 * All other traffic on loopback (the pod talking to itself) is not touched. A pod that sets the
 * mark on such traffic reaches ztunnel with it, and no more than that. */

#include "packet.h"

#include <linux/pkt_cls.h>

#define FOR_THIS_HOST 0		/* PACKET_HOST */

static __always_inline int verdict(enum weft_outcome outcome)
{
	count(outcome);
	return outcome <= WEFT_STEER_DNS ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

static __always_inline int steer_udp(struct __sk_buff *skb, struct packet *packet)
{
	struct bpf_sock *listener;
	long err;

	/* A lookup by the full tuple would prefer a socket connected to this very client. */
	if (packet->v6) {
		__builtin_memset(packet->tuple.ipv6.daddr, 0, sizeof(packet->tuple.ipv6.daddr));
		packet->tuple.ipv6.daddr[3] = bpf_htonl(1);
		packet->tuple.ipv6.dport = bpf_htons(WEFT_PORT_DNS);
	} else {
		packet->tuple.ipv4.daddr = bpf_htonl(INADDR_LOOPBACK);
		packet->tuple.ipv4.dport = bpf_htons(WEFT_PORT_DNS);
	}
	listener = bpf_sk_lookup_udp(skb, &packet->tuple, tuple_size(packet), BPF_F_CURRENT_NETNS,
				     0);
	if (!listener)
		return verdict(WEFT_STEER_NO_ZTUNNEL);
	err = bpf_sk_assign(skb, listener, 0);
	bpf_sk_release(listener);
	if (err)
		return verdict(WEFT_STEER_REFUSED);
	/* Whose socket it is now: of a UDP socket, 6.1 tells it by the packet only. */
	if (!is_exempt(bpf_skb_cgroup_id(skb)))
		return verdict(WEFT_STEER_NOT_ZTUNNEL);
	return verdict(WEFT_STEER_DNS);
}

static __always_inline int steer_new(struct __sk_buff *skb, struct packet *packet)
{
	bool dns = destination_port(packet) == bpf_htons(53);
	struct bpf_sock *listener;
	long err;

	listener = find_listener(skb, packet, dns ? WEFT_PORT_DNS : WEFT_PORT_OUTBOUND);
	if (!listener)
		return verdict(WEFT_STEER_NO_ZTUNNEL);
	if (listener->state != BPF_TCP_LISTEN || !is_ztunnels(listener)) {
		bpf_sk_release(listener);
		return verdict(WEFT_STEER_NOT_ZTUNNEL);
	}
	err = bpf_sk_assign(skb, listener, 0);
	bpf_sk_release(listener);
	if (err)
		return verdict(WEFT_STEER_REFUSED);
	return verdict(dns ? WEFT_STEER_DNS : WEFT_STEER_OUTBOUND);
}

static __always_inline int steer_tcp(struct __sk_buff *skb, struct packet *packet)
{
	struct bpf_sock *known;
	long err;

	known = bpf_skc_lookup_tcp(skb, &packet->tuple, tuple_size(packet), BPF_F_CURRENT_NETNS, 0);
	if (!known)
		return steer_new(skb, packet);
	if (known->state == BPF_TCP_LISTEN) {
		bpf_sk_release(known);
		return steer_new(skb, packet);
	}
	if (known->state == BPF_TCP_TIME_WAIT && packet->syn &&
	    !make_time_wait_answer(skb, packet)) {
		bpf_sk_release(known);
		return verdict(WEFT_STEER_REFUSED);
	}
	err = bpf_sk_assign(skb, known, 0);
	bpf_sk_release(known);
	return verdict(err ? WEFT_STEER_REFUSED : WEFT_STEER_CONNECTED);
}

SEC("tc")
int weft_steer(struct __sk_buff *skb)
{
	struct packet packet;

	if ((skb->mark & WEFT_MARK_MASK) != WEFT_MARK)
		return TC_ACT_UNSPEC;
	/* The frame still has the gateway's address. */
	bpf_skb_change_type(skb, FOR_THIS_HOST);
	switch (read_packet(skb, &packet)) {
	case PACKET_TCP:
		return steer_tcp(skb, &packet);
	case PACKET_UDP:
		return steer_udp(skb, &packet);
	default:
		return verdict(WEFT_STEER_UNREADABLE);
	}
}

char _license[] SEC("license") = "GPL";
