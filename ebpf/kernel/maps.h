#ifndef WEFT_EBPF_KERNEL_MAPS_H_
#define WEFT_EBPF_KERNEL_MAPS_H_
/* What the programs of one pod share, and the few questions they all ask. Weak definitions: the
 * object files are linked into one, and the maps are one there. */

#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "../shared.h"

/* Read only once loaded: the verifier sees constants. */
const volatile struct weft_pod pod __attribute__((weak)) = {};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, WEFT_OUTCOMES);
} outcomes SEC(".maps") __attribute__((weak));

/* The cgroups (v2) whose sockets are ztunnel's; one map a node. By cgroup and not by a mark,
 * because since Linux 5.17 a container's default capabilities suffice to set any mark. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64);
	__type(value, __u32);
	__uint(max_entries, WEFT_EXEMPT_CGROUPS);
} exempt_cgroups SEC(".maps") __attribute__((weak));

/* enum weft_socket of each marked socket. Not cloned: what a listener is says nothing of the
 * connections it accepts. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} sockets SEC(".maps") __attribute__((weak));

static __always_inline void count(enum weft_outcome outcome)
{
	__u32 key = outcome;
	__u64 *packets = bpf_map_lookup_elem(&outcomes, &key);

	if (packets)
		*packets += 1;
}

static __always_inline bool is_exempt(__u64 cgroup)
{
	return cgroup && bpf_map_lookup_elem(&exempt_cgroups, &cgroup);
}

/* The fields of a kernel socket that we read; CO-RE finds their offsets in the running kernel. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernfs_node {
	__u64 id;
};
struct cgroup {
	struct kernfs_node *kn;
};
struct sock_cgroup_data {
	struct cgroup *cgroup;
};
struct sock {
	struct sock_cgroup_data sk_cgrp_data;
};
struct tcp_sock;
#pragma clang attribute pop

/* How to read them. Followed as pointers, the verifier asks of each whether its type may be
 * trusted, by a search through all types of the kernel: 10 ms for the programs of a pod. Read by a
 * helper it does not; but a kernel in lockdown has none. Known when the programs are loaded. */
const volatile __u32 read_by_helper __attribute__((weak)) = 1;

static __always_inline __u64 cgroup_of(struct sock *sk)
{
	if (read_by_helper)
		return BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	return sk->sk_cgrp_data.cgroup->kn->id;
}

/* Was this socket made by ztunnel? Of an accepted one: was its listener? `found` is a full socket
 * that bpf_skc_lookup_tcp() returned. */
static __always_inline bool is_ztunnels(void *found)
{
	struct sock *sk = (struct sock *)bpf_skc_to_tcp_sock(found);

	return sk && is_exempt(cgroup_of(sk));
}

#endif
