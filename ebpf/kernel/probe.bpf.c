// SPDX-License-Identifier: GPL-2.0
/* A source of their own for the kubelet's probes, and for nobody else.
 *
 * Attached to connect() of the kubelet's control group: its TCP connections to pods that are in the
 * mesh are bound to the probe address, which the pods' programs let pass. And to bind() of all
 * control groups: nobody else of the node takes that address. Both look at the node's own network
 * namespace only; pods have other ones.
 *
 * Safe to leave attached: a connection that cannot be bound goes on with the node's address, and
 * is a stranger to the pod. */

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../shared.h"

#define FAMILY_V4 2			/* AF_INET */
#define FAMILY_V6 10			/* AF_INET6 */
#define SOCKET_STREAM 1			/* SOCK_STREAM */
#define ALLOW 1
#define REFUSE 0

const volatile struct weft_probe probe;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WEFT_PROBED_ADDRESSES);
	__type(key, struct weft_address);
	__type(value, __u32);
} probed_pods SEC(".maps");

static __always_inline bool is_kubelet(struct bpf_sock_addr *context)
{
	return context->type == SOCKET_STREAM && bpf_get_current_cgroup_id() == probe.cgroup &&
	       bpf_get_netns_cookie(context) == probe.netns;
}

SEC("cgroup/connect4")
int weft_probe_v4(struct bpf_sock_addr *context)
{
	struct weft_address pod = {.words = {0, 0, bpf_htonl(0xffff), context->user_ip4}};
	struct sockaddr_in source = {.sin_family = FAMILY_V4};

	if (!is_kubelet(context) || !bpf_map_lookup_elem(&probed_pods, &pod))
		return ALLOW;
	source.sin_addr.s_addr = probe.v4;
	bpf_bind(context, (struct sockaddr *)&source, sizeof(source));
	return ALLOW;
}

SEC("cgroup/connect6")
int weft_probe_v6(struct bpf_sock_addr *context)
{
	struct weft_address pod;
	struct sockaddr_in6 source = {.sin6_family = FAMILY_V6};

	pod.words[0] = context->user_ip6[0];
	pod.words[1] = context->user_ip6[1];
	pod.words[2] = context->user_ip6[2];
	pod.words[3] = context->user_ip6[3];
	if (!is_kubelet(context) || !bpf_map_lookup_elem(&probed_pods, &pod))
		return ALLOW;
	if (!pod.words[0] && !pod.words[1] && pod.words[2] == bpf_htonl(0xffff)) {
		source.sin6_addr.in6_u.u6_addr32[2] = bpf_htonl(0xffff);
		source.sin6_addr.in6_u.u6_addr32[3] = probe.v4;
	} else {
		source.sin6_addr.in6_u.u6_addr32[0] = probe.v6[0];
		source.sin6_addr.in6_u.u6_addr32[1] = probe.v6[1];
		source.sin6_addr.in6_u.u6_addr32[2] = probe.v6[2];
		source.sin6_addr.in6_u.u6_addr32[3] = probe.v6[3];
	}
	bpf_bind(context, (struct sockaddr *)&source, sizeof(source));
	return ALLOW;
}

/* What bpf_bind() does above is not asked here. */
SEC("cgroup/bind4")
int weft_guard_v4(struct bpf_sock_addr *context)
{
	if (context->user_ip4 != probe.v4 || bpf_get_netns_cookie(context) != probe.netns)
		return ALLOW;
	return REFUSE;
}

SEC("cgroup/bind6")
int weft_guard_v6(struct bpf_sock_addr *context)
{
	bool mapped, own;

	if (bpf_get_netns_cookie(context) != probe.netns)
		return ALLOW;
	mapped = !context->user_ip6[0] && !context->user_ip6[1] &&
		 context->user_ip6[2] == bpf_htonl(0xffff) && context->user_ip6[3] == probe.v4;
	own = context->user_ip6[0] == probe.v6[0] && context->user_ip6[1] == probe.v6[1] &&
	      context->user_ip6[2] == probe.v6[2] && context->user_ip6[3] == probe.v6[3];
	return mapped || own ? REFUSE : ALLOW;
}

char _license[] SEC("license") = "GPL";
