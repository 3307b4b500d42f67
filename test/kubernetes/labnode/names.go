package main

import (
	"context"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	clusterDNS    = "10.96.0.10"
	clusterDomain = ".svc.cluster.local."
	nameLifetime  = 5
	messageMax    = 64 << 10
)

// serveNames answers the cluster's names on the address that pods have in their resolv.conf; every node has
// it on its loopback. There is nothing upstream: other names do not exist.
func (s *services) serveNames(ctx context.Context) error {
	if out, err := exec.Command("ip", "addr", "replace", clusterDNS+"/32", "dev", "lo").CombinedOutput(); err != nil {
		return &net.OpError{Op: "ip addr: " + string(out), Err: err}
	}
	packets, err := net.ListenPacket("udp", clusterDNS+":53")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", clusterDNS+":53")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { packets.Close(); listener.Close() })
	go func() {
		buffer := make([]byte, messageMax)
		for {
			size, from, err := packets.ReadFrom(buffer)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				log.Printf("dns: %v", err)
				continue
			}
			if answer := s.answer(buffer[:size]); answer != nil {
				packets.WriteTo(answer, from)
			}
		}
	}()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go s.answerStream(connection)
		}
	}()
	return nil
}

func (s *services) answerStream(connection net.Conn) {
	defer connection.Close()
	for {
		connection.SetDeadline(time.Now().Add(10 * time.Second))
		var size uint16
		if binary.Read(connection, binary.BigEndian, &size) != nil {
			return
		}
		query := make([]byte, size)
		if _, err := io.ReadFull(connection, query); err != nil {
			return
		}
		answer := s.answer(query)
		if answer == nil {
			return
		}
		connection.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	}
}

// answer is nil for what is no question.
func (s *services) answer(query []byte) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil || header.Response {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return nil
	}
	addresses, alias, exists := s.lookUp(strings.ToLower(question.Name.String()))
	header.Response, header.Authoritative, header.RecursionAvailable = true, true, true
	header.RCode = dnsmessage.RCodeSuccess
	if !exists {
		header.RCode = dnsmessage.RCodeNameError
	}
	builder := dnsmessage.NewBuilder(nil, header)
	builder.EnableCompression()
	builder.StartQuestions()
	builder.Question(question)
	builder.StartAnswers()
	resource := dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: nameLifetime}
	if name, err := dnsmessage.NewName(alias); err == nil && alias != "" {
		builder.CNAMEResource(resource, dnsmessage.CNAMEResource{CNAME: name})
	}
	for _, address := range addresses {
		if address.Is4() && question.Type == dnsmessage.TypeA {
			builder.AResource(resource, dnsmessage.AResource{A: address.As4()})
		} else if address.Is6() && question.Type == dnsmessage.TypeAAAA {
			builder.AAAAResource(resource, dnsmessage.AAAAResource{AAAA: address.As16()})
		}
	}
	message, err := builder.Finish()
	if err != nil {
		return nil
	}
	return message
}

// lookUp knows SERVICE.NAMESPACE.svc.cluster.local, and HOSTNAME before it for headless services.
func (s *services) lookUp(name string) (addresses []netip.Addr, alias string, exists bool) {
	inner, found := strings.CutSuffix(name, clusterDomain)
	parts := strings.Split(inner, ".")
	if !found || len(parts) < 2 || len(parts) > 3 {
		return nil, "", false
	}
	service, err := s.services.Services(parts[len(parts)-1]).Get(parts[len(parts)-2])
	if err != nil {
		return nil, "", false
	}
	if service.Spec.Type == v1.ServiceTypeExternalName {
		return nil, strings.TrimSuffix(service.Spec.ExternalName, ".") + ".", len(parts) == 2
	}
	texts := service.Spec.ClusterIPs
	if service.Spec.ClusterIP == v1.ClusterIPNone {
		texts = s.headless(service, strings.Join(parts[:len(parts)-2], ""))
	} else if len(parts) == 3 {
		return nil, "", false
	}
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err == nil {
			addresses = append(addresses, address)
		}
	}
	return addresses, "", len(parts) == 2 || len(addresses) > 0
}

// headless: the addresses of all ready endpoints, or of the one with that hostname.
func (s *services) headless(service *v1.Service, hostname string) []string {
	slices, _ := s.slices.EndpointSlices(service.Namespace).List(labels.SelectorFromSet(
		labels.Set{discovery.LabelServiceName: service.Name}))
	var texts []string
	for _, slice := range slices {
		if hostname == "" {
			texts = append(texts, readyAddresses(slice, service.Spec.PublishNotReadyAddresses)...)
			continue
		}
		for i := range slice.Endpoints {
			if one := &slice.Endpoints[i]; one.Hostname != nil && *one.Hostname == hostname {
				texts = append(texts, one.Addresses...)
			}
		}
	}
	return texts
}
