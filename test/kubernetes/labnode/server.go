package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const kubeletPort = 10250

// serve answers what the API server asks a kubelet for kubectl: logs, exec and port-forward. Callers show a certificate
// of the cluster's authority.
func (n *node) serve(ctx context.Context) error {
	config, err := serverTLS(n.options)
	if err != nil {
		return err
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", n.logs)
	routes.HandleFunc("/exec/{namespace}/{pod}/{container}", n.exec)
	routes.HandleFunc("/portForward/{namespace}/{pod}", n.forward)
	listener, err := net.Listen("tcp", net.JoinHostPort(n.options.Address, strconv.Itoa(kubeletPort)))
	if err != nil {
		return err
	}
	// SPDY and WebSocket take over the connection, so HTTP/2 is not offered.
	server := &http.Server{Handler: routes, TLSConfig: config, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	go server.ServeTLS(listener, "", "")
	context.AfterFunc(ctx, func() { server.Close() })
	return nil
}

func serverTLS(options Options) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(48 * time.Hour), IPAddresses: []net.IP{net.ParseIP(options.Address)}}
	leaf, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(options.ClientCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", options.ClientCA)
	}
	return &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf}, PrivateKey: key}}}, nil
}

func (n *node) container(request *http.Request) *container {
	run := n.find(request.PathValue("namespace"), request.PathValue("pod"))
	if run == nil {
		return nil
	}
	for _, one := range append(append([]*container{}, run.containers...), run.inits...) {
		if one.spec.Name == request.PathValue("container") {
			return one
		}
	}
	return nil
}

func (n *node) logs(answer http.ResponseWriter, request *http.Request) {
	found := n.container(request)
	if found == nil {
		http.Error(answer, "no such container on this node", http.StatusNotFound)
		return
	}
	file, err := os.Open(found.log())
	if err != nil {
		return // it has not started: nothing yet
	}
	defer file.Close()
	if tail, err := strconv.Atoi(request.FormValue("tailLines")); err == nil {
		skipTo(file, tail)
	}
	out := io.Writer(answer)
	if limit, err := strconv.ParseInt(request.FormValue("limitBytes"), 10, 64); err == nil {
		io.CopyN(out, file, limit)
		return
	}
	for {
		io.Copy(out, file)
		if request.FormValue("follow") != "true" || found.finished() {
			return
		}
		answer.(http.Flusher).Flush()
		if !pause(request.Context(), 50*time.Millisecond) {
			return
		}
	}
}

func skipTo(file *os.File, lines int) {
	text, err := io.ReadAll(file)
	if err != nil {
		return
	}
	at := len(text)
	for rest := strings.TrimSuffix(string(text), "\n"); lines > 0; lines-- {
		newline := strings.LastIndexByte(rest, '\n')
		at = newline + 1
		if newline < 0 {
			break
		}
		rest = rest[:newline]
	}
	file.Seek(int64(at), io.SeekStart)
}

func (n *node) exec(answer http.ResponseWriter, request *http.Request) {
	found := n.container(request)
	if found == nil {
		http.Error(answer, "no such container on this node", http.StatusNotFound)
		return
	}
	options, err := remotecommand.NewOptions(request)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(answer, request, executor{found}, "", "", found.spec.Name, request.Form["command"],
		options, 4*time.Hour, 30*time.Second, remotecommand.SupportedStreamingProtocols)
}

type executor struct{ container *container }

func (e executor) ExecInContainer(ctx context.Context, _ string, _ string, _ string, command []string, in io.Reader,
	out, err io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	if tty {
		return e.container.executeOnTerminal(ctx, command, in, out, resize)
	}
	return e.container.execute(ctx, command, in, out, err)
}

// beside is a command beside the container's own: in its control group, namespaces and mounts.
func (c *container) beside(command []string) (*exec.Cmd, error) {
	c.mutex.Lock()
	place, running := c.place, c.command
	c.mutex.Unlock()
	if running == nil {
		return nil, fmt.Errorf("container %s does not run", c.spec.Name)
	}
	place.Join, place.Argv = running.Process.Pid, command
	return shim(place)
}

// coded makes of a command's end what kubectl exits with.
func coded(err error) error {
	if exit, ok := err.(*exec.ExitError); ok {
		return utilexec.CodeExitError{Err: exit, Code: exit.ExitCode()}
	}
	return err
}

func (c *container) executeOnTerminal(ctx context.Context, command []string, in io.Reader, out io.Writer,
	resize <-chan remotecommand.TerminalSize) error {
	child, err := c.beside(command)
	if err != nil {
		return err
	}
	return coded(onTerminal(ctx, child, in, out, resize))
}

func (c *container) execute(ctx context.Context, command []string, in io.Reader, out, complaint io.Writer) error {
	child, err := c.beside(command)
	if err != nil {
		return err
	}
	child.Stdout, child.Stderr = out, complaint
	if in != nil {
		// Not child.Stdin: Wait would wait for the caller to end its input.
		pipe, err := child.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			io.Copy(pipe, in)
			pipe.Close()
		}()
	}
	if err := child.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { child.Process.Kill() })
	defer stop()
	return coded(child.Wait())
}
