// SPDX-License-Identifier: GPL-2.0
/* Outbound capture: a TCP connection that the pod opens goes to ztunnel, or nowhere.
 *
 * Attached to tc egress of the pod's interfaces, inside its network namespace. Packets are not
 * rewritten: those to capture are sent back in through loopback, where `steer` hands them to the
 * right socket. So getsockname() in ztunnel is the address that was dialled.
 *
 * The decision is made once per socket, at its SYN, and remembered in socket storage. When ztunnel
 * dies, a captured socket's packets still take the same way and end there. What may leave:
 * ztunnel's own packets (told by cgroup), connections older than the enrolment, what is neither TCP
 * nor DNS, and answers of the kernel that carry no data. Of a pod that is let go, new connections
 * leave, too; those that ztunnel has go on through it.
 *
 * Safe to leave attached: with nobody to steer to, captured traffic is dropped. */

#include "packet.h"

#include <linux/icmpv6.h>
#include <linux/pkt_cls.h>

#define ARP_SENDER_AT (sizeof(struct ethhdr) + 14)
#define NEIGHBOUR_ADVERTISEMENT 136
#define SOCKET_STREAM 1			/* SOCK_STREAM */

static __always_inline int verdict(enum weft_outcome outcome)
{
	count(outcome);
	/* "Unspecified" lets the filters behind ours have their say too. */
	return outcome <= WEFT_EGRESS_KERNEL_REPLY ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

static __always_inline bool mark_socket(struct bpf_sock *sk, __u32 as)
{
	__u32 *mark = bpf_sk_storage_get(&sockets, sk, &as, BPF_SK_STORAGE_GET_F_CREATE);

	if (!mark)
		return false;
	*mark = as;
	return true;
}

static __always_inline int to_loopback(struct __sk_buff *skb, enum weft_outcome outcome)
{
	skb->mark = (skb->mark & ~WEFT_MARK_MASK) | WEFT_MARK;
	count(outcome);
	return bpf_redirect(WEFT_LOOPBACK_IFINDEX, BPF_F_INGRESS);
}

static __always_inline int egress_arp(struct __sk_buff *skb)
{
	__be32 sender;

	if (bpf_skb_load_bytes(skb, ARP_SENDER_AT, &sender, sizeof(sender)))
		return verdict(WEFT_EGRESS_UNREADABLE);
	if (skb->ifindex == pod.primary_ifindex && sender && !is_pods_v4(sender))
		return verdict(WEFT_EGRESS_SPOOFED);
	return verdict(WEFT_EGRESS_ARP);
}

/* May the pod send this from that source? Its own addresses; what a host needs before it has any:
 * link-local and unspecified for discovery, 0.0.0.0 for DHCP. */
static __always_inline bool may_send(struct __sk_buff *skb, const struct packet *packet)
{
	const __be32 *source = packet->tuple.ipv6.saddr;

	if (skb->ifindex != pod.primary_ifindex || is_source_pods(packet))
		return true;
	if (!packet->v6)
		return !packet->tuple.ipv4.saddr && packet->protocol == IPPROTO_UDP;
	if ((source[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000))
		return true;
	return !(source[0] | source[1] | source[2] | source[3]) &&
	       packet->protocol == IPPROTO_ICMPV6;
}

/* A neighbour advertisement claims an address; it may claim the pod's only. */
static __always_inline bool claims_foreign_address(struct __sk_buff *skb,
						   const struct packet *packet)
{
	__u32 at = packet->ip_at + sizeof(struct ipv6hdr);
	struct {
		struct icmp6hdr icmp;
		__be32 target[4];
	} message;

	if (skb->ifindex != pod.primary_ifindex || !packet->v6 ||
	    packet->protocol != IPPROTO_ICMPV6 ||
	    bpf_skb_load_bytes(skb, at, &message, sizeof(message)))
		return false;
	if (message.icmp.icmp6_type != NEIGHBOUR_ADVERTISEMENT)
		return false;
	return (message.target[0] & bpf_htonl(0xffc00000)) != bpf_htonl(0xfe800000) &&
	       !is_pods_v6(message.target);
}

static __always_inline int egress_udp(struct __sk_buff *skb, const struct packet *packet)
{
	if (destination_port(packet) != bpf_htons(53))
		return verdict(WEFT_EGRESS_OTHER);
	if (is_exempt(bpf_skb_cgroup_id(skb)))
		return verdict(WEFT_EGRESS_ZTUNNEL);
	if (pod.lets_go)
		return verdict(WEFT_EGRESS_OTHER);
	if (packet->fragment)
		return verdict(WEFT_EGRESS_UNREADABLE);
	return to_loopback(skb, WEFT_EGRESS_DNS);
}

/* A packet whose socket is not marked. Is its far end a socket of this namespace, that is, one
 * which ztunnel bound to the client's address? Then that is where it goes. */
static __always_inline int egress_unmarked(struct __sk_buff *skb, struct packet *packet,
					   struct bpf_sock *connection)
{
	struct bpf_sock *owner;
	bool connected = false;

	if (!packet->syn && is_probe(packet, true))
		return verdict(WEFT_EGRESS_PROBE_REPLY);
	owner = bpf_skc_lookup_tcp(skb, &packet->tuple, tuple_size(packet), BPF_F_CURRENT_NETNS, 0);
	if (owner) {
		connected = owner->state != BPF_TCP_LISTEN;
		bpf_sk_release(owner);
	}
	if (pod.lets_go && connection &&
	    !mark_socket(connection, connected ? WEFT_SOCKET_RELAYED : WEFT_SOCKET_OLDER))
		return verdict(WEFT_EGRESS_NO_MEMORY);
	if (connected)
		return to_loopback(skb, WEFT_EGRESS_REPLY);
	if (pod.lets_go && (connection || !packet->payload))
		return verdict(WEFT_EGRESS_OLDER);
	if (connection)
		return verdict(WEFT_EGRESS_UNOWNED);
	/* A flooded listener accepts by cookies, and the kernel sends those as nobody's; what a raw
	 * socket sends is its own. */
	return verdict(packet->payload || (packet->syn_ack && skb->sk) ? WEFT_EGRESS_FORGED
								       : WEFT_EGRESS_KERNEL_REPLY);
}

static __always_inline int egress_tcp(struct __sk_buff *skb, struct packet *packet)
{
	struct bpf_sock *sk = skb->sk;
	__u32 *mark;
	bool is_tcp;

	if (is_exempt(bpf_skb_cgroup_id(skb)))
		return verdict(WEFT_EGRESS_ZTUNNEL);
	if (sk)
		sk = bpf_sk_fullsock(sk);
	/* Raw and packet sockets can hold a TCP segment too; only a TCP socket has a connection. */
	is_tcp = sk && sk->type == SOCKET_STREAM && sk->protocol == IPPROTO_TCP;

	if (packet->syn) {
		if (!sk || !is_tcp)
			return verdict(WEFT_EGRESS_FORGED);
		/* Also when an older socket connects anew. */
		if (!mark_socket(sk, pod.lets_go ? WEFT_SOCKET_OLDER : WEFT_SOCKET_CAPTURED))
			return verdict(WEFT_EGRESS_NO_MEMORY);
		if (pod.lets_go)
			return verdict(WEFT_EGRESS_OLDER);
		return to_loopback(skb, WEFT_EGRESS_CAPTURED_SYN);
	}
	if (!sk || !is_tcp)
		return egress_unmarked(skb, packet, 0);
	mark = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!mark)
		return egress_unmarked(skb, packet, sk->state != BPF_TCP_LISTEN ? sk : 0);
	if (*mark == WEFT_SOCKET_OLDER)
		return verdict(WEFT_EGRESS_OLDER);
	return to_loopback(skb, WEFT_EGRESS_CAPTURED);
}

SEC("tc")
int weft_egress(struct __sk_buff *skb)
{
	struct packet packet;
	enum packet_kind kind = read_packet(skb, &packet);

	if (kind == PACKET_UNREADABLE)
		return verdict(WEFT_EGRESS_UNREADABLE);
	if (kind == PACKET_NOT_IP)
		return verdict(WEFT_EGRESS_NOT_IP);
	if (kind == PACKET_ARP)
		return egress_arp(skb);
	if (!may_send(skb, &packet) || claims_foreign_address(skb, &packet))
		return verdict(WEFT_EGRESS_SPOOFED);
	if (kind == PACKET_TCP)
		return egress_tcp(skb, &packet);
	if (kind == PACKET_UDP)
		return egress_udp(skb, &packet);
	return verdict(WEFT_EGRESS_OTHER);
}

char _license[] SEC("license") = "GPL";
