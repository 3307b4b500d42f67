#ifndef WEFT_EBPF_KERNEL_PACKET_H_
#define WEFT_EBPF_KERNEL_PACKET_H_
/* Reads what the programs decide on out of an Ethernet frame. What is TCP or UDP, or could hide one
 * of them, and cannot be read is PACKET_UNREADABLE: never "something else, let it pass". */

#include <stddef.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "maps.h"

#define IPV4_FRAGMENT 0x3fff	/* more fragments, or an offset */
#define IPV4_OFFSET 0x1fff
#define IPV6_OFFSET 0xfff8
#define TCP_FLAGS_AT 12		/* header length and flags: two bytes */
#define TCP_FLAG_ACK_BIT 0x10

enum packet_kind {
	PACKET_UNREADABLE,
	PACKET_NOT_IP,
	PACKET_ARP,
	PACKET_OTHER,		/* IP, and neither TCP nor UDP; or a later fragment of UDP */
	PACKET_TCP,
	PACKET_UDP,		/* whole, or its first fragment */
};

struct packet {
	struct bpf_sock_tuple tuple;	/* as the lookup helpers want it */
	__u32 payload;			/* TCP bytes behind the header */
	__u32 ip_at;
	__u8 protocol;			/* IP's; 0 for ARP */
	bool v6;
	bool fragment;
	bool syn;			/* SYN without ACK: asks for a connection */
	bool syn_ack;
};

static __always_inline enum packet_kind read_ports(struct __sk_buff *skb, struct packet *packet,
						   __u32 at)
{
	__be16 ports[2];

	if (packet->protocol == IPPROTO_TCP) {
		struct tcphdr tcp;

		if (packet->fragment || bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)) ||
		    tcp.doff < 5 || at + tcp.doff * 4 > skb->len)
			return PACKET_UNREADABLE;
		ports[0] = tcp.source;
		ports[1] = tcp.dest;
		packet->syn = tcp.syn && !tcp.ack;
		packet->syn_ack = tcp.syn && tcp.ack;
		packet->payload = skb->len - at - tcp.doff * 4;
	} else {
		struct udphdr udp;

		if (bpf_skb_load_bytes(skb, at, &udp, sizeof(udp)))
			return PACKET_UNREADABLE;
		ports[0] = udp.source;
		ports[1] = udp.dest;
	}
	if (packet->v6) {
		packet->tuple.ipv6.sport = ports[0];
		packet->tuple.ipv6.dport = ports[1];
	} else {
		packet->tuple.ipv4.sport = ports[0];
		packet->tuple.ipv4.dport = ports[1];
	}
	return packet->protocol == IPPROTO_TCP ? PACKET_TCP : PACKET_UDP;
}

static __always_inline enum packet_kind read_ipv4(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr ip;
	__u16 fragment;

	if (bpf_skb_load_bytes(skb, packet->ip_at, &ip, sizeof(ip)) || ip.version != 4)
		return PACKET_UNREADABLE;
	packet->protocol = ip.protocol;
	packet->tuple.ipv4.saddr = ip.saddr;
	packet->tuple.ipv4.daddr = ip.daddr;
	if (ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP)
		return PACKET_OTHER;
	/* A source route would send it elsewhere than its destination says. */
	if (ip.ihl != 5)
		return PACKET_UNREADABLE;
	fragment = bpf_ntohs(ip.frag_off) & IPV4_FRAGMENT;
	packet->fragment = fragment;
	/* Harmless alone: the first one was judged by its ports. TCP never needs any. */
	if (fragment & IPV4_OFFSET && ip.protocol == IPPROTO_UDP)
		return PACKET_OTHER;
	return read_ports(skb, packet, packet->ip_at + sizeof(ip));
}

static __always_inline enum packet_kind read_ipv6(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv6hdr ip;
	__u32 at = packet->ip_at + sizeof(ip);
	struct {
		__u8 next;
		__u8 length;
		__be16 offset;
		__be32 id;
	} extension;

	if (bpf_skb_load_bytes(skb, packet->ip_at, &ip, sizeof(ip)) || ip.version != 6)
		return PACKET_UNREADABLE;
	packet->v6 = true;
	packet->protocol = ip.nexthdr;
	__builtin_memcpy(packet->tuple.ipv6.saddr, &ip.saddr, sizeof(ip.saddr));
	__builtin_memcpy(packet->tuple.ipv6.daddr, &ip.daddr, sizeof(ip.daddr));

	switch (ip.nexthdr) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return read_ports(skb, packet, at);
	case IPPROTO_FRAGMENT:
		if (bpf_skb_load_bytes(skb, at, &extension, sizeof(extension)))
			return PACKET_UNREADABLE;
		packet->fragment = true;
		packet->protocol = extension.next;
		if (extension.next == IPPROTO_ICMPV6)
			return PACKET_OTHER;
		if (extension.next != IPPROTO_UDP)
			return PACKET_UNREADABLE;
		if (extension.offset & bpf_htons(IPV6_OFFSET))
			return PACKET_OTHER;
		return read_ports(skb, packet, at + sizeof(extension));
	case IPPROTO_HOPOPTS:
		/* Multicast listener reports carry a router alert; neighbour discovery on a snooping
		 * bridge depends on them. Nothing else here needs options. */
		if (bpf_skb_load_bytes(skb, at, &extension, 2))
			return PACKET_UNREADABLE;
		packet->protocol = extension.next;
		return extension.next == IPPROTO_ICMPV6 ? PACKET_OTHER : PACKET_UNREADABLE;
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_AH:
	case IPPROTO_MH:
	case 139: /* HIP */
	case 140: /* shim6 */
		return PACKET_UNREADABLE;
	default:
		return PACKET_OTHER;
	}
}

/* The type is read from the frame: skb->protocol of a packet socket is what its owner says. */
static __always_inline enum packet_kind read_packet(struct __sk_buff *skb, struct packet *packet)
{
	__be16 type;

	__builtin_memset(packet, 0, sizeof(*packet));
	if (bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_proto), &type, sizeof(type)))
		return PACKET_UNREADABLE;
	packet->ip_at = sizeof(struct ethhdr);
	if (type == bpf_htons(ETH_P_IP))
		return read_ipv4(skb, packet);
	if (type == bpf_htons(ETH_P_IPV6))
		return read_ipv6(skb, packet);
	return type == bpf_htons(ETH_P_ARP) ? PACKET_ARP : PACKET_NOT_IP;
}

static __always_inline __u32 tuple_size(const struct packet *packet)
{
	return packet->v6 ? sizeof(packet->tuple.ipv6) : sizeof(packet->tuple.ipv4);
}

static __always_inline __be16 destination_port(const struct packet *packet)
{
	return packet->v6 ? packet->tuple.ipv6.dport : packet->tuple.ipv4.dport;
}

static __always_inline bool is_pods_v4(__be32 address)
{
	for (__u32 i = 0; i < WEFT_ADDRESSES; i++)
		if (i < pod.v4_count && pod.v4[i] == address)
			return true;
	return false;
}

static __always_inline bool equal_v6(const __be32 *a, const volatile __u32 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

static __always_inline bool is_pods_v6(const __be32 *address)
{
	for (__u32 i = 0; i < WEFT_ADDRESSES; i++)
		if (i < pod.v6_count && equal_v6(address, pod.v6[i]))
			return true;
	return false;
}

static __always_inline bool is_source_pods(const struct packet *packet)
{
	return packet->v6 ? is_pods_v6(packet->tuple.ipv6.saddr)
			  : is_pods_v4(packet->tuple.ipv4.saddr);
}

/* Where the kubelet's probes appear to come from, when they are rewritten to a fixed address. */
static __always_inline bool is_probe(const struct packet *packet, bool destination)
{
	if (!packet->v6)
		return pod.probe_v4 && pod.probe_v4 == (destination ? packet->tuple.ipv4.daddr
								    : packet->tuple.ipv4.saddr);
	return pod.probe_v6[0] && equal_v6(destination ? packet->tuple.ipv6.daddr
						       : packet->tuple.ipv6.saddr, pod.probe_v6);
}

/* A client uses a port again that is in TIME_WAIT at our end. Left to itself the kernel would look
 * for a listener on the dialled port, which is the application's; and one of our choosing it
 * refuses, while the old entry is there (since 6.10). So the SYN is made a SYN-ACK, to which
 * TIME_WAIT only answers with an ACK; the client, who sees that it makes no sense, resets; that
 * ends TIME_WAIT, and its next SYN, some milliseconds later, is like any other. */
static __always_inline bool make_time_wait_answer(struct __sk_buff *skb,
						  const struct packet *packet)
{
	__u32 tcp_at = packet->ip_at +
		       (packet->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	__be16 before, after;

	if (bpf_skb_load_bytes(skb, tcp_at + TCP_FLAGS_AT, &before, sizeof(before)))
		return false;
	after = before | bpf_htons(TCP_FLAG_ACK_BIT);
	return !bpf_l4_csum_replace(skb, tcp_at + offsetof(struct tcphdr, check), before, after,
				    sizeof(after)) &&
	       !bpf_skb_store_bytes(skb, tcp_at + TCP_FLAGS_AT, &after, sizeof(after), 0);
}

/* The listener on `port` that ztunnel has in this namespace, on the wildcard address of either or
 * both families. The caller releases it. */
static __always_inline struct bpf_sock *find_listener(struct __sk_buff *skb,
						      const struct packet *packet, __u16 port)
{
	struct bpf_sock_tuple tuple = {};

	if (packet->v6) {
		tuple.ipv6.daddr[3] = bpf_htonl(1);
		tuple.ipv6.dport = bpf_htons(port);
		return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	tuple.ipv4.daddr = bpf_htonl(INADDR_LOOPBACK);
	tuple.ipv4.dport = bpf_htons(port);
	return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
}

#endif
