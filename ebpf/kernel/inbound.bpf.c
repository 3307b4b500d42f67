// SPDX-License-Identifier: GPL-2.0
/* Inbound capture: every new TCP connection to the pod goes to ztunnel instead.
 *
 * Attached to tc ingress of the pod's interfaces, inside its network namespace. Port 15008 is
 * ztunnel's own and passes; everything else goes to ztunnel's listener on 15006, whatever address
 * and port were dialled. The packet is not rewritten, so ztunnel reads them with getsockname().
 *
 * A connection that exists passes if ztunnel has it, or if it is older than the enrolment. To a
 * socket that ztunnel speaks to in a client's name nobody else may speak: such packets are dropped,
 * as is what cannot be read, and everything when ztunnel is not there. */

#include "packet.h"

#include <linux/pkt_cls.h>

static __always_inline int verdict(enum weft_outcome outcome)
{
	count(outcome);
	return outcome <= WEFT_INBOUND_ASSIGNED ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

/* Does ztunnel stand in for the packet's sender, to this pod? */
static __always_inline bool is_relayed(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock_tuple back = {};
	struct bpf_sock *found;

	if (packet->v6) {
		__builtin_memcpy(back.ipv6.saddr, packet->tuple.ipv6.daddr, sizeof(back.ipv6.saddr));
		__builtin_memcpy(back.ipv6.daddr, packet->tuple.ipv6.saddr, sizeof(back.ipv6.daddr));
		back.ipv6.sport = packet->tuple.ipv6.dport;
		back.ipv6.dport = packet->tuple.ipv6.sport;
	} else {
		back.ipv4.saddr = packet->tuple.ipv4.daddr;
		back.ipv4.daddr = packet->tuple.ipv4.saddr;
		back.ipv4.sport = packet->tuple.ipv4.dport;
		back.ipv4.dport = packet->tuple.ipv4.sport;
	}
	found = bpf_skc_lookup_tcp(skb, &back, tuple_size(packet), BPF_F_CURRENT_NETNS, 0);
	if (!found)
		return false;
	if (found->state == BPF_TCP_LISTEN) {
		bpf_sk_release(found);
		return false;
	}
	bpf_sk_release(found);
	return true;
}

/* What may be said to a connected socket from outside. Takes over the reference to `known`. */
static __always_inline int inbound_connected(struct __sk_buff *skb, const struct packet *packet,
					     struct bpf_sock *known)
{
	enum weft_outcome outcome = WEFT_INBOUND_INJECTED;
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(known);

	if (!tcp) {
		/* A handshake under way, or TIME_WAIT: the kernel answers these itself. */
		outcome = WEFT_INBOUND_ZTUNNEL;
	} else if (is_ztunnels(known)) {
		outcome = WEFT_INBOUND_ZTUNNEL;
	} else {
		__u32 *mark, older = WEFT_SOCKET_OLDER;

		/* Of a pod that is let go, one without a mark is new, and not ztunnel's. */
		if (pod.lets_go && !is_relayed(skb, packet))
			mark = bpf_sk_storage_get(&sockets, tcp, &older,
						  BPF_SK_STORAGE_GET_F_CREATE);
		else
			mark = bpf_sk_storage_get(&sockets, tcp, 0, 0);
		if (mark && *mark == WEFT_SOCKET_OLDER)
			outcome = WEFT_INBOUND_OLDER;
	}
	bpf_sk_release(known);
	return verdict(outcome);
}

static __always_inline int inbound_new(struct __sk_buff *skb, struct packet *packet)
{
	struct bpf_sock *listener;
	long err;

	if (pod.lets_go)
		return verdict(WEFT_INBOUND_OLDER);
	listener = find_listener(skb, packet, WEFT_PORT_INBOUND);
	if (!listener)
		return verdict(WEFT_INBOUND_NO_ZTUNNEL);
	if (listener->state != BPF_TCP_LISTEN || !is_ztunnels(listener)) {
		bpf_sk_release(listener);
		return verdict(WEFT_INBOUND_NOT_ZTUNNEL);
	}
	err = bpf_sk_assign(skb, listener, 0);
	bpf_sk_release(listener);
	return verdict(err ? WEFT_INBOUND_REFUSED : WEFT_INBOUND_ASSIGNED);
}

/* A new connection to ztunnel's own port: the kernel finds the listener by itself. `listener` is
 * the one it will find, and its reference is taken over. */
static __always_inline int inbound_hbone(struct bpf_sock *listener)
{
	bool of_ztunnel = is_ztunnels(listener);

	bpf_sk_release(listener);
	return verdict(of_ztunnel ? WEFT_INBOUND_HBONE : WEFT_INBOUND_NOT_ZTUNNEL);
}

static __always_inline int inbound_tcp(struct __sk_buff *skb, struct packet *packet)
{
	bool hbone = destination_port(packet) == bpf_htons(WEFT_PORT_HBONE);
	struct bpf_sock *known;

	/* Nobody outside has the pod's address; a packet that says so means to join a connection
	 * which ztunnel has on loopback. */
	if (is_source_pods(packet))
		return verdict(WEFT_INBOUND_SPOOFED);
	if (is_probe(packet, false))
		return verdict(WEFT_INBOUND_PROBE);
	known = bpf_skc_lookup_tcp(skb, &packet->tuple, tuple_size(packet), BPF_F_CURRENT_NETNS, 0);
	if (!known)
		return hbone ? verdict(WEFT_INBOUND_NO_ZTUNNEL) : inbound_new(skb, packet);
	if (known->state == BPF_TCP_LISTEN && hbone)
		return inbound_hbone(known);
	if (known->state == BPF_TCP_LISTEN) {
		bpf_sk_release(known);
		return inbound_new(skb, packet);
	}
	/* On 15008 it is ztunnel's listener that the kernel finds. */
	if (known->state == BPF_TCP_TIME_WAIT && packet->syn && !hbone &&
	    !make_time_wait_answer(skb, packet)) {
		bpf_sk_release(known);
		return verdict(WEFT_INBOUND_REFUSED);
	}
	return inbound_connected(skb, packet, known);
}

SEC("tc")
int weft_inbound(struct __sk_buff *skb)
{
	struct packet packet;

	switch (read_packet(skb, &packet)) {
	case PACKET_TCP:
		return inbound_tcp(skb, &packet);
	case PACKET_UNREADABLE:
		return verdict(WEFT_INBOUND_UNREADABLE);
	default:
		return verdict(WEFT_INBOUND_OTHER);
	}
}

char _license[] SEC("license") = "GPL";
