package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// node runs the pods that are bound to it, each in a goroutine of its own.
type node struct {
	client  kubernetes.Interface
	options Options
	network *network
	mutex   sync.Mutex
	pods    map[types.UID]*podRun
	running sync.WaitGroup
}

func newNode(client kubernetes.Interface, options Options) *node {
	return &node{client: client, options: options, network: newNetwork(options), pods: map[types.UID]*podRun{}}
}

func (n *node) run(ctx context.Context) error {
	if err := os.MkdirAll(n.options.State+"/pods", 0o755); err != nil {
		return err
	}
	if err := n.serve(ctx); err != nil {
		return err
	}
	if _, err := n.startServices(ctx); err != nil {
		return err
	}
	if err := n.network.collect(ctx, nil); err != nil {
		log.Printf("CNI GC: %v", err)
	}
	go n.collectWhenAsked(ctx)
	if err := n.register(ctx); err != nil {
		return err
	}
	selector := fields.OneTermEqualSelector("spec.nodeName", n.options.Name)
	source := cache.NewListWatchFromClient(n.client.CoreV1().RESTClient(), "pods", "", selector)
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: source, ObjectType: &v1.Pod{}, Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { n.see(ctx, object.(*v1.Pod)) },
			UpdateFunc: func(_, object any) { n.see(ctx, object.(*v1.Pod)) },
			DeleteFunc: func(object any) {
				if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
					object = unknown.Obj
				}
				if pod, ok := object.(*v1.Pod); ok {
					n.lose(pod)
				}
			}}})
	controller.RunWithContext(ctx)
	n.running.Wait()
	return nil
}

// collectWhenAsked runs the chain's GC at SIGUSR1, as a runtime does from time to time.
func (n *node) collectWhenAsked(ctx context.Context) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	for {
		select {
		case <-asked:
		case <-ctx.Done():
			return
		}
		n.mutex.Lock()
		var alive []*v1.Pod
		for _, run := range n.pods {
			alive = append(alive, run.pod)
		}
		n.mutex.Unlock()
		if err := n.network.collect(ctx, alive); err != nil {
			log.Printf("CNI GC: %v", err)
		}
	}
}

// register makes the Node, or brings its status up to date.
func (n *node) register(ctx context.Context) error {
	wanted := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.options.Name, Labels: map[string]string{
		"kubernetes.io/hostname": n.options.Name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}}}
	nodes := n.client.CoreV1().Nodes()
	found, err := nodes.Create(ctx, wanted, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		found, err = nodes.Get(ctx, n.options.Name, metav1.GetOptions{})
	}
	if err != nil {
		return err
	}
	for {
		n.describe(&found.Status)
		_, err = nodes.UpdateStatus(ctx, found, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) { // the controller manager writes to new nodes too
			return err
		}
		if found, err = nodes.Get(ctx, n.options.Name, metav1.GetOptions{}); err != nil {
			return err
		}
	}
}

func (n *node) describe(status *v1.NodeStatus) {
	now := metav1.Now()
	status.Addresses = []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: n.options.Address},
		{Type: v1.NodeHostName, Address: n.options.Name}}
	status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue,
		Reason: "LabNode", LastHeartbeatTime: now, LastTransitionTime: now}}
	status.DaemonEndpoints.KubeletEndpoint.Port = kubeletPort
	status.NodeInfo.KubeletVersion = "v1.36.3-lab"
	status.NodeInfo.ContainerRuntimeVersion = "lab://1"
	status.NodeInfo.OperatingSystem, status.NodeInfo.Architecture = "linux", "amd64"
}

func (n *node) see(ctx context.Context, pod *v1.Pod) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	run, known := n.pods[pod.UID]
	if !known {
		if pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed {
			if pod.DeletionTimestamp != nil {
				go n.forget(pod)
			}
			return
		}
		run = newPodRun(n, pod)
		n.pods[pod.UID] = run
		n.running.Add(1)
		go func() {
			defer n.running.Done()
			run.live(ctx)
			n.mutex.Lock()
			delete(n.pods, pod.UID)
			n.mutex.Unlock()
		}()
	}
	run.update(pod)
}

// lose: somebody removed the pod without waiting for us.
func (n *node) lose(pod *v1.Pod) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if run, known := n.pods[pod.UID]; known {
		run.endWithin(0)
	}
}

// forget removes the object of a pod of which nothing runs any more.
func (n *node) forget(pod *v1.Pod) {
	zero := int64(0)
	err := n.client.CoreV1().Pods(pod.Namespace).Delete(context.Background(), pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &zero, Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		log.Printf("pod %s/%s: %v", pod.Namespace, pod.Name, err)
	}
}

func (n *node) find(namespace, name string) *podRun {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for _, run := range n.pods {
		if run.pod.Namespace == namespace && run.pod.Name == name {
			return run
		}
	}
	return nil
}

func pause(ctx context.Context, time_ time.Duration) bool {
	timer := time.NewTimer(time_)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
