// SPDX-License-Identifier: GPL-2.0
/* Lists the pod's connected TCP sockets, and what each of them is: one struct weft_connection each.
 *
 * A TCP socket iterator, run in the pod's namespace whenever somebody asks. */

#include "iterator.h"

SEC("iter/tcp")
int weft_list_sockets(struct bpf_iter__tcp *context)
{
	struct tcp_sock *tcp = connected_socket(context);
	struct weft_connection connection = {};
	struct sock_common *common;
	__u32 *mark;

	if (!tcp)
		return 0;
	mark = bpf_sk_storage_get(&sockets, tcp, 0, 0);
	if (mark)
		connection.mark = *mark;
	else if (is_ztunnels(tcp))
		connection.mark = WEFT_SOCKET_ZTUNNEL;

	common = (struct sock_common *)tcp;
	connection.cookie = bpf_get_socket_cookie(tcp);
	connection.family = common->skc_family;
	connection.state = common->skc_state;
	connection.local_port = common->skc_num;
	connection.remote_port = bpf_ntohs(common->skc_dport);
	if (connection.family == ADDRESSES_IPV4) {
		connection.local[0] = common->skc_rcv_saddr;
		connection.remote[0] = common->skc_daddr;
	} else {
		for (int i = 0; i < 4; i++) {
			connection.local[i] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			connection.remote[i] = common->skc_v6_daddr.in6_u.u6_addr32[i];
		}
	}
	bpf_seq_write(context->meta->seq, &connection, sizeof(connection));
	return 0;
}

char _license[] SEC("license") = "GPL";
