package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	v1 "k8s.io/api/core/v1"
)

// network does for a pod what a container runtime does: a namespace, and the CNI chain in it.
type network struct {
	options Options
	cni     *libcni.CNIConfig
}

func newNetwork(options Options) *network {
	bin := strings.Split(options.CNIBin, ":")
	return &network{options, libcni.NewCNIConfigWithCacheDir(bin, options.State+"/cni-cache", nil)}
}

func (n *network) netns(pod *v1.Pod) string {
	if pod.Spec.HostNetwork {
		return n.options.Netns
	}
	return "/run/netns/" + n.options.Prefix + string(pod.UID)[:13]
}

// The first configuration by name is the cluster's; it is read again for each pod, so that a chained
// plugin counts from the moment it is there.
func (n *network) chain() (*libcni.NetworkConfigList, error) {
	files, _ := filepath.Glob(n.options.CNIConf + "/*.conflist")
	if len(files) == 0 {
		return nil, fmt.Errorf("no CNI configuration in %s", n.options.CNIConf)
	}
	sort.Strings(files)
	return libcni.ConfListFromFile(files[0])
}

func (n *network) arguments(pod *v1.Pod) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: string(pod.UID), NetNS: n.netns(pod), IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", pod.Namespace},
			{"K8S_POD_NAME", pod.Name}, {"K8S_POD_INFRA_CONTAINER_ID", string(pod.UID)},
			{"K8S_POD_UID", string(pod.UID)}},
	}
}

// collect removes what the chain holds for pods other than these.
func (n *network) collect(ctx context.Context, alive []*v1.Pod) error {
	chain, err := n.chain()
	if err != nil {
		return err
	}
	valid := &libcni.GCArgs{ValidAttachments: []types.GCAttachment{}}
	for _, pod := range alive {
		valid.ValidAttachments = append(valid.ValidAttachments,
			types.GCAttachment{ContainerID: string(pod.UID), IfName: "eth0"})
	}
	return n.cni.GCNetworkList(ctx, chain, valid)
}

// setUp makes the pod's namespace, and runs ADD and CHECK. It returns the pod's addresses. After an
// error nothing of it is left.
func (n *network) setUp(ctx context.Context, pod *v1.Pod) ([]string, error) {
	if pod.Spec.HostNetwork {
		return []string{n.options.Address}, nil
	}
	name := filepath.Base(n.netns(pod))
	if _, err := os.Stat(n.netns(pod)); err != nil {
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ip netns add: %s", out)
		}
	}
	script := "for i in all default; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done; ip link set lo up"
	if out, err := exec.Command("ip", "netns", "exec", name, "sh", "-c", script).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("prepare %s: %s", name, out)
	}
	chain, err := n.chain()
	if err != nil {
		return nil, err
	}
	result, err := n.cni.AddNetworkList(ctx, chain, n.arguments(pod))
	if err != nil {
		n.cni.DelNetworkList(ctx, chain, n.arguments(pod))
		return nil, fmt.Errorf("CNI ADD: %w", err)
	}
	if err := n.cni.CheckNetworkList(ctx, chain, n.arguments(pod)); err != nil {
		n.cni.DelNetworkList(ctx, chain, n.arguments(pod))
		return nil, fmt.Errorf("CNI CHECK: %w", err)
	}
	final, err := types100.NewResultFromResult(result)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, one := range final.IPs {
		addresses = append(addresses, one.Address.IP.String())
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("CNI ADD gave no address")
	}
	return addresses, nil
}

// tearDown runs DEL with the configuration that ADD had, as libcni's cache kept it.
func (n *network) tearDown(ctx context.Context, pod *v1.Pod) error {
	if pod.Spec.HostNetwork {
		return nil
	}
	if _, err := os.Stat(n.netns(pod)); err != nil {
		return nil
	}
	arguments := n.arguments(pod)
	chain, err := n.chain()
	if err != nil {
		return err
	}
	if cached, _, err := n.cni.GetNetworkListCachedConfig(chain, arguments); err == nil && cached != nil {
		if was, err := libcni.ConfListFromBytes(cached); err == nil {
			chain = was
		}
	}
	if err := n.cni.DelNetworkList(ctx, chain, arguments); err != nil {
		return fmt.Errorf("CNI DEL: %w", err)
	}
	name := filepath.Base(n.netns(pod))
	if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
		return fmt.Errorf("ip netns del: %s", out)
	}
	return nil
}
