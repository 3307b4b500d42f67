// SPDX-License-Identifier: GPL-2.0
/* Marks the connections that a pod has when it is enrolled, so that they go on undisturbed.
 *
 * A TCP socket iterator, run once in the pod's namespace right after the other programs have been
 * attached. A connection that was opened in between is captured already, and stays so.
 *
 * Run again when the pod is let go, before the programs know it: connections that have no mark then
 * are ztunnel's clients. */

#include "iterator.h"

SEC("iter/tcp")
int weft_mark_older(struct bpf_iter__tcp *context)
{
	__u32 as = pod.lets_go ? WEFT_SOCKET_RELAYED : WEFT_SOCKET_OLDER;
	struct tcp_sock *tcp = connected_socket(context);

	if (tcp && !(pod.lets_go && is_ztunnels(tcp)))
		bpf_sk_storage_get(&sockets, tcp, &as, BPF_SK_STORAGE_GET_F_CREATE);
	return 0;
}

char _license[] SEC("license") = "GPL";
