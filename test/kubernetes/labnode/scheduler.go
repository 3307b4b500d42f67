package main

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// schedule binds each pod without a node: a DaemonSet's to the node its affinity names, others by their
// node selector to the node with the fewest pods. Taints and resources do not count here.
func schedule(ctx context.Context, client kubernetes.Interface) error {
	for ctx.Err() == nil {
		if err := scheduleOnce(ctx, client); err != nil && ctx.Err() == nil {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

func scheduleOnce(ctx context.Context, client kubernetes.Interface) error {
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	load := map[string]int{}
	for i := range pods.Items {
		load[pods.Items[i].Spec.NodeName]++
	}
	for i := range pods.Items {
		if err := bind(ctx, client, &pods.Items[i], load); err != nil {
			return err
		}
	}
	seconds := int64(5) // pods that found no node are tried again with the next list
	watch, err := client.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{
		FieldSelector: "spec.nodeName=", ResourceVersion: pods.ResourceVersion, TimeoutSeconds: &seconds})
	if err != nil {
		return err
	}
	defer watch.Stop()
	for event := range watch.ResultChan() {
		pod, ok := event.Object.(*v1.Pod)
		if ok && (event.Type == "ADDED" || event.Type == "MODIFIED") {
			if err := bind(ctx, client, pod, load); err != nil {
				return err
			}
		}
	}
	return nil
}

func bind(ctx context.Context, client kubernetes.Interface, pod *v1.Pod, load map[string]int) error {
	if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0 {
		return nil
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	best := ""
	for i := range nodes.Items {
		node := &nodes.Items[i]
		if fits(pod, node) && (best == "" || load[node.Name] < load[best]) {
			best = node.Name
		}
	}
	if best == "" {
		return nil
	}
	load[best]++
	return client.CoreV1().Pods(pod.Namespace).Bind(ctx, &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
		Target:     v1.ObjectReference{Kind: "Node", Name: best}}, metav1.CreateOptions{})
}

func fits(pod *v1.Pod, node *v1.Node) bool {
	for key, value := range pod.Spec.NodeSelector {
		if node.Labels[key] != value {
			return false
		}
	}
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.NodeAffinity == nil {
		return true
	}
	required := pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil {
		return true
	}
	for _, term := range required.NodeSelectorTerms {
		if matches(term, node) {
			return true
		}
	}
	return false
}

func matches(term v1.NodeSelectorTerm, node *v1.Node) bool {
	for _, one := range term.MatchFields { // DaemonSets: metadata.name In [NODE]
		if one.Key != "metadata.name" || !holds(one, node.Name, true) {
			return false
		}
	}
	for _, one := range term.MatchExpressions {
		value, has := node.Labels[one.Key]
		if !holds(one, value, has) {
			return false
		}
	}
	return true
}

func holds(one v1.NodeSelectorRequirement, value string, has bool) bool {
	among := false
	for _, wanted := range one.Values {
		among = among || has && wanted == value
	}
	switch one.Operator {
	case v1.NodeSelectorOpIn:
		return among
	case v1.NodeSelectorOpNotIn:
		return !among
	case v1.NodeSelectorOpExists:
		return has
	case v1.NodeSelectorOpDoesNotExist:
		return !has
	}
	return false
}
