package main

import (
	"context"
	"log"
	"os"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const retryEvery = 500 * time.Millisecond

// podRun is one pod from its binding to its end.
type podRun struct {
	node       *node
	mutex      sync.Mutex
	pod        *v1.Pod // as last seen; its spec does not change
	addresses  []string
	message    string // why it has not started
	inits      []*container
	containers []*container
	started    metav1.Time
	grace      time.Duration
	end        context.CancelFunc // asks it to end
	ending     context.Context
}

func newPodRun(n *node, pod *v1.Pod) *podRun {
	run := &podRun{node: n, pod: pod, started: metav1.Now(), grace: 30 * time.Second}
	run.ending, run.end = context.WithCancel(context.Background())
	for i := range pod.Spec.InitContainers {
		run.inits = append(run.inits, newContainer(run, &pod.Spec.InitContainers[i], true))
	}
	for i := range pod.Spec.Containers {
		run.containers = append(run.containers, newContainer(run, &pod.Spec.Containers[i], false))
	}
	return run
}

func (r *podRun) folder() string { return r.node.options.State + "/pods/" + string(r.pod.UID) }
func (r *podRun) cgroup() string { return r.node.options.Cgroup + "/kubepods/pod" + string(r.pod.UID) }

func (r *podRun) update(pod *v1.Pod) {
	r.mutex.Lock()
	r.pod = pod
	r.mutex.Unlock()
	if pod.DeletionTimestamp != nil {
		grace := 30 * time.Second
		if pod.DeletionGracePeriodSeconds != nil {
			grace = time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
		}
		r.endWithin(grace)
	}
}

func (r *podRun) endWithin(grace time.Duration) {
	r.mutex.Lock()
	r.grace = grace
	r.mutex.Unlock()
	r.end()
}

// live is the life of a pod, top to bottom. A node that stops ends its pods at once, and leaves their objects.
func (r *podRun) live(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { r.endWithin(0) })
	defer stop()
	defer r.end()
	r.attempt("network", func() error {
		addresses, err := r.node.network.setUp(r.ending, r.pod)
		r.addresses = addresses
		return err
	})
	r.report()
	var mounts *volumes
	r.attempt("volumes", func() (err error) {
		mounts, err = r.makeVolumes(r.ending)
		return err
	})
	if mounts != nil {
		go mounts.keepFresh(r.ending)
	}
	done := r.runInits(mounts) && r.runContainers(mounts)
	if !done || ctx.Err() != nil {
		<-r.ending.Done()
	}
	r.cleanUp()
	r.report()
	if ctx.Err() != nil {
		return
	}
	<-r.ending.Done() // a pod that has finished stays, for its log, until somebody deletes it
	os.RemoveAll(r.folder())
	r.node.forget(r.pod)
}

// attempt repeats a step until it succeeds or the pod ends; the pod's status says why it waits.
func (r *podRun) attempt(what string, step func() error) {
	for r.ending.Err() == nil {
		err := step()
		before := r.message
		r.message = ""
		if err == nil {
			return
		}
		r.message = what + ": " + err.Error()
		if before != r.message {
			log.Printf("pod %s/%s: %s", r.pod.Namespace, r.pod.Name, r.message)
			if what == "network" {
				r.warn("FailedCreatePodSandBox", "Failed to create pod sandbox: "+r.message)
			}
			r.report()
		}
		pause(r.ending, retryEvery)
	}
}

// warn writes an event on the pod, as the kubelet does.
func (r *podRun) warn(reason, message string) {
	now := metav1.Now()
	event := &v1.Event{
		ObjectMeta: metav1.ObjectMeta{GenerateName: r.pod.Name + ".", Namespace: r.pod.Namespace},
		InvolvedObject: v1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: r.pod.Namespace,
			Name: r.pod.Name, UID: r.pod.UID},
		Reason: reason, Message: message, Type: v1.EventTypeWarning, FirstTimestamp: now, LastTimestamp: now,
		Count: 1, Source: v1.EventSource{Component: "kubelet", Host: r.node.options.Name}}
	events := r.node.client.CoreV1().Events(r.pod.Namespace)
	if _, err := events.Create(context.Background(), event, metav1.CreateOptions{}); err != nil {
		log.Printf("pod %s/%s: event: %v", r.pod.Namespace, r.pod.Name, err)
	}
}

// runInits: one after the other; those that restart always are sidecars and go on.
func (r *podRun) runInits(mounts *volumes) bool {
	for _, one := range r.inits {
		if one.isSidecar() {
			go one.supervise(r.ending, mounts)
			for r.ending.Err() == nil && !one.isReady() {
				pause(r.ending, 20*time.Millisecond)
			}
		} else if !one.supervise(r.ending, mounts) {
			return r.ending.Err() == nil
		}
	}
	return true
}

// runContainers returns when all have finished for good, or the pod is asked to end.
func (r *podRun) runContainers(mounts *volumes) bool {
	var all sync.WaitGroup
	for _, one := range r.containers {
		all.Go(func() { one.supervise(r.ending, mounts) })
	}
	all.Wait()
	return r.ending.Err() == nil
}

func (r *podRun) cleanUp() {
	all := append(append([]*container{}, r.containers...), r.inits...)
	var ended sync.WaitGroup
	for _, one := range all {
		ended.Go(func() { one.terminate() })
	}
	ended.Wait()
	removeCgroup(r.cgroup())
	for tries := 0; tries < 20; tries++ {
		err := r.node.network.tearDown(context.Background(), r.pod)
		if err == nil {
			break
		}
		log.Printf("pod %s/%s: %v", r.pod.Namespace, r.pod.Name, err)
		time.Sleep(retryEvery)
	}
}

// report writes the pod's status, as it is now.
func (r *podRun) report() {
	pods := r.node.client.CoreV1().Pods(r.pod.Namespace)
	for tries := 0; tries < 10; tries++ {
		r.mutex.Lock()
		found := r.pod.DeepCopy()
		r.mutex.Unlock()
		if tries > 0 {
			fresh, err := pods.Get(context.Background(), found.Name, metav1.GetOptions{})
			if err != nil || fresh.UID != found.UID {
				return
			}
			found = fresh
		}
		r.fill(&found.Status)
		updated, err := pods.UpdateStatus(context.Background(), found, metav1.UpdateOptions{})
		if err == nil {
			r.mutex.Lock()
			if r.pod.DeletionTimestamp == nil {
				r.pod = updated
			}
			r.mutex.Unlock()
			return
		}
		if apierrors.IsNotFound(err) {
			return
		}
		if !apierrors.IsConflict(err) {
			log.Printf("pod %s/%s: status: %v", found.Namespace, found.Name, err)
			time.Sleep(retryEvery)
		}
	}
}

func (r *podRun) fill(status *v1.PodStatus) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	status.StartTime = &r.started
	status.HostIP = r.node.options.Address
	status.HostIPs = []v1.HostIP{{IP: r.node.options.Address}}
	status.PodIPs = nil
	status.PodIP = ""
	if len(r.addresses) > 0 {
		status.PodIP = r.addresses[0]
	}
	for _, one := range r.addresses {
		status.PodIPs = append(status.PodIPs, v1.PodIP{IP: one})
	}
	status.InitContainerStatuses, status.ContainerStatuses = nil, nil
	initialized, ready, running, failed := true, true, 0, 0
	for _, one := range r.inits {
		state := one.status(r.message)
		status.InitContainerStatuses = append(status.InitContainerStatuses, state)
		ended := state.State.Terminated
		initialized = initialized && (ended != nil && ended.ExitCode == 0 || one.isSidecar() && state.Ready)
		if !one.isSidecar() && ended != nil && ended.ExitCode != 0 && one.finished() {
			failed++
		}
	}
	unfinished := 0
	for _, one := range r.containers {
		state := one.status(r.message)
		status.ContainerStatuses = append(status.ContainerStatuses, state)
		ready = ready && state.Ready
		if state.State.Running != nil || state.RestartCount > 0 {
			running++
		}
		if !one.finished() {
			unfinished++
		} else if state.State.Terminated != nil && state.State.Terminated.ExitCode != 0 {
			failed++
		}
	}
	switch {
	case failed > 0 && (unfinished == 0 || !initialized):
		status.Phase = v1.PodFailed
	case unfinished == 0:
		status.Phase = v1.PodSucceeded
	case running > 0:
		status.Phase = v1.PodRunning
	default:
		status.Phase = v1.PodPending
	}
	ready = ready && initialized && status.Phase == v1.PodRunning
	setCondition(status, v1.PodScheduled, true)
	setCondition(status, "PodReadyToStartContainers", len(r.addresses) > 0)
	setCondition(status, v1.PodInitialized, initialized)
	setCondition(status, v1.ContainersReady, ready)
	setCondition(status, v1.PodReady, ready && r.ending.Err() == nil)
}

func setCondition(status *v1.PodStatus, kind v1.PodConditionType, holds bool) {
	value := v1.ConditionFalse
	if holds {
		value = v1.ConditionTrue
	}
	for i := range status.Conditions {
		if one := &status.Conditions[i]; one.Type == kind {
			if one.Status != value {
				one.Status, one.LastTransitionTime = value, metav1.Now()
			}
			return
		}
	}
	status.Conditions = append(status.Conditions, v1.PodCondition{
		Type: kind, Status: value, LastTransitionTime: metav1.Now()})
}
