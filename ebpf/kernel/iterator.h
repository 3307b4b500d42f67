#ifndef WEFT_EBPF_KERNEL_ITERATOR_H_
#define WEFT_EBPF_KERNEL_ITERATOR_H_
/* What the two socket iterators need to know of the kernel's sockets. */

#include <bpf/bpf_endian.h>

#include "maps.h"

#define ADDRESSES_IPV4 2	/* AF_INET */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};
struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};
struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};
#pragma clang attribute pop

/* The socket, if it has a connection, or is taking one down. */
static __always_inline struct tcp_sock *connected_socket(struct bpf_iter__tcp *context)
{
	struct sock_common *common = context->sk_common;

	if (!common)
		return 0;
	switch (common->skc_state) {
	case BPF_TCP_LISTEN:
	case BPF_TCP_SYN_SENT:
	case BPF_TCP_TIME_WAIT:
	case BPF_TCP_NEW_SYN_RECV:
	case BPF_TCP_CLOSE:
		return 0;
	}
	return bpf_skc_to_tcp_sock(common);
}

#endif
