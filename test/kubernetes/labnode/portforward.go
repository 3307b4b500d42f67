package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

// forward answers kubectl port-forward: connections to the pod's loopback.
func (n *node) forward(answer http.ResponseWriter, request *http.Request) {
	run := n.find(request.PathValue("namespace"), request.PathValue("pod"))
	if run == nil {
		http.Error(answer, "no such pod on this node", http.StatusNotFound)
		return
	}
	options, err := portforward.NewV4Options(request)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(answer, request, forwarder{n.network.netns(run.pod)}, run.pod.Name,
		string(run.pod.UID), options, time.Minute, 10*time.Second, portforward.SupportedProtocols)
}

type forwarder struct{ netns string }

// PortForward returns when either side has ended.
func (f forwarder) PortForward(ctx context.Context, _ string, _ string, port int32, stream io.ReadWriteCloser) error {
	connection, err := dialInside(ctx, f.netns, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		io.Copy(connection, stream)
		connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	return err
}

// dialInside connects from within a network namespace: the thread that went there ends with its goroutine.
func dialInside(ctx context.Context, netns, address string) (net.Conn, error) {
	type result struct {
		connection net.Conn
		err        error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		if err := enter(netns, unix.CLONE_NEWNET); err != nil {
			done <- result{nil, err}
			return
		}
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address) // a literal address: on this thread
		done <- result{connection, err}
	}()
	got := <-done
	if got.err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, got.err)
	}
	return got.connection, nil
}
