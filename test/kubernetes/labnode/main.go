// Labnode is one node of a test cluster: what a kubelet and its container runtime do for the mesh, and no
// more. It runs in the node's network namespace and in the control group that stands for the kubelet's.
//
//	labnode node --name N …   registers Node N, runs the pods bound to it, serves the kubelet's port
//	labnode scheduler …       binds pods that have no node
//
// A container runs its command on the host's file system, under a root of its own (an overlay, so that
// nothing it writes stays); its image decides only which program an image without a command means.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Options say where a node is, and what its images mean.
type Options struct {
	Name, Address, Netns, State, Cgroup string
	CNIConf, CNIBin, ClientCA, Prefix   string
	SeccompRunner, WorkingDir           string
	Images                              map[string]string
}

func connect(kubeconfig string) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	return kubernetes.NewForConfig(config)
}

func run() error {
	if len(os.Args) < 2 {
		return fmt.Errorf("usage: labnode node|scheduler FLAGS")
	}
	options := Options{Images: map[string]string{}}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	flags.StringVar(&options.Name, "name", "", "of the Node")
	flags.StringVar(&options.Address, "address", "", "the node's own, where the kubelet's port is served")
	flags.StringVar(&options.Netns, "netns", "", "the node's network namespace")
	flags.StringVar(&options.State, "state", "", "a folder of this node's own")
	flags.StringVar(&options.Cgroup, "cgroup", "", "the node's control group; pods are made below it")
	flags.StringVar(&options.CNIConf, "cni-conf", "", "folder of the network's *.conflist")
	flags.StringVar(&options.CNIBin, "cni-bin", "", "folders of the plugins, separated by ':'")
	flags.StringVar(&options.ClientCA, "client-ca", "", "who may speak to the kubelet's port")
	flags.StringVar(&options.Prefix, "netns-prefix", "", "of the pods' network namespaces")
	flags.StringVar(&options.SeccompRunner, "seccomp-runner", "", "becomes a program under a profile: PROFILE PROGRAM ARGV…")
	flags.StringVar(&options.WorkingDir, "working-dir", "/", "of containers that name none")
	flags.Func("image", "NAME=PATH: the program of an image, by the last part of its name", func(text string) error {
		name, path, found := strings.Cut(text, "=")
		if !found {
			return fmt.Errorf("want NAME=PATH")
		}
		options.Images[name] = path
		return nil
	})
	if err := flags.Parse(os.Args[2:]); err != nil {
		return err
	}
	client, err := connect(*kubeconfig)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	switch os.Args[1] {
	case "node":
		return newNode(client, options).run(ctx)
	case "scheduler":
		return schedule(ctx, client)
	}
	return fmt.Errorf("unknown subcommand %s", os.Args[1])
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "labnode:", err)
		os.Exit(1)
	}
}
