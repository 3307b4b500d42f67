package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probe runs a container's probes until its process ends. They come from the node's own address and from
// the control group of the kubelet, for this process is in it.
func (c *container) probe(ctx context.Context) {
	if c.spec.StartupProbe != nil {
		c.repeat(ctx, c.spec.StartupProbe, func(good, bad bool) bool {
			if bad {
				c.restart()
			}
			if good {
				c.set(func() { c.started, c.ready = true, c.spec.ReadinessProbe == nil })
			}
			return !good && !bad
		})
	}
	if c.spec.LivenessProbe != nil {
		go c.repeat(ctx, c.spec.LivenessProbe, func(_, bad bool) bool {
			if bad {
				c.restart()
			}
			return !bad
		})
	}
	if c.spec.ReadinessProbe != nil {
		c.repeat(ctx, c.spec.ReadinessProbe, func(good, bad bool) bool {
			if good && !c.isReady() {
				c.set(func() { c.ready = true })
			} else if bad && c.isReady() {
				c.set(func() { c.ready = false })
			}
			return true
		})
	}
}

func (c *container) set(change func()) {
	c.mutex.Lock()
	alive := c.command != nil
	if alive {
		change()
	}
	c.mutex.Unlock()
	if alive {
		c.pod.report()
	}
}

func (c *container) restart() { killCgroup(c.cgroup()) }

// repeat asks until `judge` has heard enough. Until the first success it asks more often than it must.
func (c *container) repeat(ctx context.Context, probe *v1.Probe, judge func(good, bad bool) bool) {
	period := time.Duration(max(probe.PeriodSeconds, 1)) * time.Second
	pause(ctx, time.Duration(probe.InitialDelaySeconds)*time.Second)
	good, bad := int32(0), int32(0)
	for ctx.Err() == nil {
		if c.ask(ctx, probe) {
			good, bad = good+1, 0
		} else {
			good, bad = 0, bad+1
		}
		if ctx.Err() != nil {
			return
		}
		if !judge(good >= max(probe.SuccessThreshold, 1), bad >= max(probe.FailureThreshold, 1)) {
			return
		}
		if good == 0 && !c.isReady() && probe == c.spec.ReadinessProbe {
			pause(ctx, min(period, 200*time.Millisecond))
		} else {
			pause(ctx, period)
		}
	}
}

func (c *container) ask(ctx context.Context, probe *v1.Probe) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(probe.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	host := c.pod.addresses[0]
	switch {
	case probe.HTTPGet != nil:
		if probe.HTTPGet.Host != "" {
			host = probe.HTTPGet.Host
		}
		return httpGet(ctx, host, c.port(probe.HTTPGet.Port), probe.HTTPGet)
	case probe.TCPSocket != nil:
		dialer := net.Dialer{}
		connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, c.port(probe.TCPSocket.Port)))
		if err == nil {
			connection.Close()
		}
		return err == nil
	case probe.Exec != nil:
		return c.execute(ctx, probe.Exec.Command, nil, nil, nil) == nil
	}
	return false
}

func (c *container) port(given intstr.IntOrString) string {
	if given.Type == intstr.Int {
		return strconv.Itoa(given.IntValue())
	}
	for _, one := range c.spec.Ports {
		if one.Name == given.StrVal {
			return strconv.Itoa(int(one.ContainerPort))
		}
	}
	return given.StrVal
}

func httpGet(ctx context.Context, host, port string, action *v1.HTTPGetAction) bool {
	scheme := "http"
	if action.Scheme == v1.URISchemeHTTPS {
		scheme = "https"
	}
	target, err := url.Parse(action.Path)
	if err != nil {
		return false
	}
	target.Scheme, target.Host = scheme, net.JoinHostPort(host, port)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return false
	}
	request.Header.Set("User-Agent", "kube-probe/1.36")
	for _, one := range action.HTTPHeaders {
		if one.Name == "Host" {
			request.Host = one.Value
		} else {
			request.Header.Add(one.Name, one.Value)
		}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // as the kubelet: a probe asks who is well, not who it is
	answer, err := client.Do(request)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode >= 200 && answer.StatusCode < 400
}
