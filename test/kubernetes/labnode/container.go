package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const restartMax = 30 * time.Second

// container runs one container's command again and again, as the restart policy says.
type container struct {
	pod      *podRun
	spec     *v1.Container
	isInit   bool
	mutex    sync.Mutex
	command  *exec.Cmd
	place    Place
	since    metav1.Time
	last     *v1.ContainerStateTerminated
	waiting  string // why it does not run
	restarts int32
	isOver   bool // ended, and not to be restarted
	ready    bool
	started  bool
}

func newContainer(pod *podRun, spec *v1.Container, isInit bool) *container {
	return &container{pod: pod, spec: spec, isInit: isInit, waiting: "ContainerCreating"}
}

func (c *container) isSidecar() bool {
	return c.isInit && c.spec.RestartPolicy != nil && *c.spec.RestartPolicy == v1.ContainerRestartPolicyAlways
}
func (c *container) isReady() bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.ready
}
func (c *container) finished() bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.isOver
}
func (c *container) log() string    { return c.pod.folder() + "/" + c.spec.Name + ".log" }
func (c *container) cgroup() string { return c.pod.cgroup() + "/" + c.spec.Name }

// supervise returns when the container is over for good; true when its last end was a success.
func (c *container) supervise(ctx context.Context, mounts *volumes) bool {
	policy := c.pod.pod.Spec.RestartPolicy
	if c.isSidecar() || c.isInit && policy == v1.RestartPolicyAlways {
		policy = v1.RestartPolicyOnFailure
		if c.isSidecar() {
			policy = v1.RestartPolicyAlways
		}
	}
	wait := 250 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		code, err := c.runOnce(ctx, mounts)
		if ctx.Err() != nil {
			return false
		}
		over := err == nil && (policy == v1.RestartPolicyNever || policy == v1.RestartPolicyOnFailure && code == 0)
		c.mutex.Lock()
		c.ready, c.started, c.isOver = false, false, over
		if err != nil {
			c.waiting = "CreateContainerError: " + err.Error()
			log.Printf("pod %s/%s: %s: %v", c.pod.pod.Namespace, c.pod.pod.Name, c.spec.Name, err)
		} else if !over {
			c.restarts++
			c.waiting = "CrashLoopBackOff"
		}
		c.mutex.Unlock()
		c.pod.report()
		if over {
			return code == 0
		}
		if time.Since(began) > 10*time.Minute {
			wait = 250 * time.Millisecond
		}
		pause(ctx, wait)
		wait = min(2*wait, restartMax)
	}
	return false
}

// runOnce starts the command and waits for its end. Errors: it could not be started.
func (c *container) runOnce(ctx context.Context, mounts *volumes) (int32, error) {
	place, err := c.describe(mounts)
	if err != nil {
		return 0, err
	}
	out, err := os.OpenFile(c.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	// As runtimes do: who runs there may open /dev/stdout again.
	if err := out.Chown(place.UID, place.GID); err != nil {
		return 0, err
	}
	command, err := shim(place)
	if err != nil {
		return 0, err
	}
	command.Stdout, command.Stderr = out, out
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return 0, err
	}
	c.mutex.Lock()
	c.command, c.place, c.since, c.waiting, c.last = command, place, metav1.Now(), "", nil
	c.started = c.spec.StartupProbe == nil
	c.ready = c.started && (c.spec.ReadinessProbe == nil)
	c.mutex.Unlock()
	c.pod.report()
	probing, stop := context.WithCancel(ctx)
	go c.probe(probing)
	asked := context.AfterFunc(ctx, c.terminate)
	defer asked()
	command.Wait()
	stop()
	if ctx.Err() == nil {
		killCgroup(c.cgroup())
	}
	code := int32(command.ProcessState.ExitCode())
	if code < 0 {
		code = 128 + int32(command.ProcessState.Sys().(syscall.WaitStatus).Signal())
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	c.last = &v1.ContainerStateTerminated{ExitCode: code, Reason: reason, StartedAt: c.since, FinishedAt: metav1.Now()}
	c.command, c.ready = nil, false
	return code, nil
}

func shim(place Place) (*exec.Cmd, error) {
	text, err := json.Marshal(place)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{Path: self, Args: []string{shimName, string(text)}}, nil
}

func (c *container) describe(mounts *volumes) (Place, error) {
	pod, options := c.pod.pod, c.pod.node.options
	environment, err := c.environment()
	if err != nil {
		return Place{}, err
	}
	mounted, err := mounts.of(c.spec)
	if err != nil {
		return Place{}, err
	}
	argv := append([]string{}, c.spec.Command...)
	if len(argv) == 0 {
		name := imageName(c.spec.Image)
		if _, known := options.Images[name]; !known {
			return Place{}, fmt.Errorf("image %s means no program here, and there is no command", c.spec.Image)
		}
		argv = []string{"/usr/local/bin/" + name}
	}
	argv = append(argv, c.spec.Args...)
	for i := range argv {
		argv[i] = expand(argv[i], environment)
	}
	if err := os.MkdirAll(c.cgroup(), 0o755); err != nil {
		return Place{}, err
	}
	hosts := "127.0.0.1 localhost\n::1 localhost\n"
	for _, one := range c.pod.addresses {
		hosts += one + " " + pod.Name + "\n"
	}
	search := pod.Namespace + ".svc.cluster.local svc.cluster.local cluster.local"
	place := Place{Cgroup: c.cgroup(), Netns: c.pod.node.network.netns(pod), Hostname: pod.Name, Dir: options.WorkingDir,
		Root: c.pod.folder() + "/" + c.spec.Name, Mounts: mounted, Programs: options.Images, Argv: argv,
		Files: map[string]string{"/etc/hosts": hosts,
			"/etc/resolv.conf": "nameserver 10.96.0.10\nsearch " + search + "\noptions ndots:5\n"}}
	for _, one := range environment {
		place.Env = append(place.Env, one.name+"="+one.value)
	}
	if os.Getenv("WEFT_SANITIZED") != "" { // a search for leaks wants more of /proc than a container has
		place.Env = append(place.Env, "ASAN_OPTIONS=detect_leaks=0")
	}
	if c.spec.WorkingDir != "" {
		place.Dir = c.spec.WorkingDir
	}
	if err := c.secure(&place); err != nil {
		return Place{}, err
	}
	os.RemoveAll(place.Root)
	return place, os.MkdirAll(place.Root, 0o755)
}

// imageName: registry/folder/NAME:tag@digest.
func imageName(image string) string {
	name, _, _ := strings.Cut(path.Base(image), "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// preStop: what a container asks to have before its SIGTERM. The pod's grace goes by meanwhile.
func (c *container) preStop(process *os.Process, deadline time.Time) {
	hook := c.spec.Lifecycle
	if hook == nil || hook.PreStop == nil || hook.PreStop.Sleep == nil {
		return
	}
	end := time.Now().Add(time.Duration(hook.PreStop.Sleep.Seconds) * time.Second)
	for time.Now().Before(end) && time.Now().Before(deadline) && process.Signal(syscall.Signal(0)) == nil {
		time.Sleep(10 * time.Millisecond)
	}
}

// terminate: SIGTERM, the pod's grace, then the end of everything in its control group.
func (c *container) terminate() {
	c.mutex.Lock()
	command := c.command
	c.mutex.Unlock()
	if command != nil && command.Process != nil {
		c.pod.mutex.Lock()
		grace := c.pod.grace
		c.pod.mutex.Unlock()
		deadline := time.Now().Add(grace)
		c.preStop(command.Process, deadline)
		command.Process.Signal(syscall.SIGTERM)
		for time.Now().Before(deadline) && command.Process.Signal(syscall.Signal(0)) == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
	killCgroup(c.cgroup())
	c.mutex.Lock()
	c.isOver, c.ready = true, false
	c.mutex.Unlock()
}

func (c *container) status(podMessage string) v1.ContainerStatus {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	id := fmt.Sprintf("lab://%s-%s", c.pod.pod.UID, c.spec.Name)
	ready := c.ready || c.isInit && !c.isSidecar() && c.last != nil && c.last.ExitCode == 0
	result := v1.ContainerStatus{Name: c.spec.Name, Image: c.spec.Image, ImageID: c.spec.Image, ContainerID: id,
		Ready: ready, RestartCount: c.restarts, Started: &c.started}
	switch {
	case c.command != nil:
		result.State.Running = &v1.ContainerStateRunning{StartedAt: c.since}
	case c.last != nil && (c.isOver || c.waiting == ""):
		result.State.Terminated = c.last
	default:
		reason, message, _ := strings.Cut(c.waiting, ": ")
		if podMessage != "" {
			message = podMessage
		}
		result.State.Waiting = &v1.ContainerStateWaiting{Reason: reason, Message: message}
		if c.last != nil {
			result.LastTerminationState.Terminated = c.last
		}
	}
	return result
}

func killCgroup(folder string) {
	os.WriteFile(folder+"/cgroup.kill", []byte("1"), 0)
	for tries := 0; tries < 500; tries++ {
		text, err := os.ReadFile(folder + "/cgroup.events")
		if err != nil || strings.Contains(string(text), "populated 0") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func removeCgroup(folder string) {
	killCgroup(folder)
	entries, _ := os.ReadDir(folder)
	for _, one := range entries {
		if one.IsDir() {
			removeCgroup(folder + "/" + one.Name())
		}
	}
	syscall.Rmdir(folder)
}
