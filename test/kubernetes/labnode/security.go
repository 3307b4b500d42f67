package main

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

const nobody = 65532 // whom an image that must not run as root runs as, if nobody says

// What runtimes give a container that asks for nothing.
var usualCapabilities = []v1.Capability{"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID",
	"SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"}

var capabilityNumbers = map[v1.Capability]int{"CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3,
	"FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "LINUX_IMMUTABLE": 9, "NET_BIND_SERVICE": 10,
	"NET_BROADCAST": 11, "NET_ADMIN": 12, "NET_RAW": 13, "IPC_LOCK": 14, "IPC_OWNER": 15, "SYS_MODULE": 16,
	"SYS_RAWIO": 17, "SYS_CHROOT": 18, "SYS_PTRACE": 19, "SYS_PACCT": 20, "SYS_ADMIN": 21, "SYS_BOOT": 22,
	"SYS_NICE": 23, "SYS_RESOURCE": 24, "SYS_TIME": 25, "SYS_TTY_CONFIG": 26, "MKNOD": 27, "LEASE": 28,
	"AUDIT_WRITE": 29, "AUDIT_CONTROL": 30, "SETFCAP": 31, "MAC_OVERRIDE": 32, "MAC_ADMIN": 33, "SYSLOG": 34,
	"WAKE_ALARM": 35, "BLOCK_SUSPEND": 36, "AUDIT_READ": 37, "PERFMON": 38, "BPF": 39, "CHECKPOINT_RESTORE": 40}

// secure sets who the container runs as and with which capabilities. Errors: what a kubelet would refuse.
// Localhost seccomp profiles must be there, and are applied if there is a program that does so.
func (c *container) secure(place *Place) error {
	pod, own := c.pod.pod.Spec.SecurityContext, c.spec.SecurityContext
	if pod == nil {
		pod = &v1.PodSecurityContext{}
	}
	if own == nil {
		own = &v1.SecurityContext{}
	}
	user, group, notRoot, seccomp := pod.RunAsUser, pod.RunAsGroup, pod.RunAsNonRoot, pod.SeccompProfile
	if own.RunAsUser != nil {
		user = own.RunAsUser
	}
	if own.RunAsGroup != nil {
		group = own.RunAsGroup
	}
	if own.RunAsNonRoot != nil {
		notRoot = own.RunAsNonRoot
	}
	if own.SeccompProfile != nil {
		seccomp = own.SeccompProfile
	}
	if user != nil {
		place.UID = int(*user)
	} else if notRoot != nil && *notRoot {
		place.UID = nobody
	}
	if group != nil {
		place.GID = int(*group)
	}
	if notRoot != nil && *notRoot && place.UID == 0 {
		return fmt.Errorf("container has runAsNonRoot and would run as root")
	}
	if seccomp != nil && seccomp.Type == v1.SeccompProfileTypeLocalhost && seccomp.LocalhostProfile != nil {
		path := c.pod.node.options.State + "/root/var/lib/kubelet/seccomp/" + *seccomp.LocalhostProfile
		profile, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("seccomp profile %s is not on the node", *seccomp.LocalhostProfile)
		}
		if c.pod.node.options.SeccompRunner != "" {
			place.SeccompRunner, place.Seccomp = c.pod.node.options.SeccompRunner, string(profile)
		}
	}
	place.NoNewPrivileges = own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation
	if own.Privileged != nil && *own.Privileged {
		place.Privileged = true
		return nil
	}
	kept, err := capabilities(own.Capabilities)
	place.Capabilities = kept
	return err
}

func capabilities(asked *v1.Capabilities) ([]int, error) {
	names := slices.Clone(usualCapabilities)
	if asked != nil {
		for _, one := range asked.Drop {
			names = slices.DeleteFunc(names, func(name v1.Capability) bool { return one == "ALL" || one == name })
		}
		names = append(names, asked.Add...)
	}
	var kept []int
	for _, name := range names {
		if name == "ALL" {
			for _, number := range capabilityNumbers {
				kept = append(kept, number)
			}
			continue
		}
		number, known := capabilityNumbers[name]
		if !known {
			return nil, fmt.Errorf("there is no capability %s", name)
		}
		kept = append(kept, number)
	}
	return kept, nil
}

// limit takes away what the container may not have: what exec() then gives is within the bounding set.
func (p *Place) limit() error {
	if p.Privileged {
		return nil
	}
	for number := 0; number <= unix.CAP_LAST_CAP; number++ {
		if slices.Contains(p.Capabilities, number) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(number), 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("drop capability %d: %w", number, err)
		}
	}
	if p.NoNewPrivileges {
		return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	return nil
}
