package main

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os/exec"
	"sort"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	slicelisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// services does what kube-proxy and the cluster's DNS do, for pods outside the mesh and for host processes:
// cluster addresses and node ports lead to ready endpoints, by nftables in the node's namespace.
type services struct {
	options  Options
	services corelisters.ServiceLister
	slices   slicelisters.EndpointSliceLister
	changed  chan struct{}
	current  string
}

const rulesAtMostEvery = 20 * time.Millisecond

func (n *node) startServices(ctx context.Context) (*services, error) {
	factory := informers.NewSharedInformerFactory(n.client, 0)
	all := &services{options: n.options, services: factory.Core().V1().Services().Lister(),
		slices: factory.Discovery().V1().EndpointSlices().Lister(), changed: make(chan struct{}, 1)}
	touch := func() {
		select {
		case all.changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { touch() },
		UpdateFunc: func(any, any) { touch() }, DeleteFunc: func(any) { touch() }}
	factory.Core().V1().Services().Informer().AddEventHandler(handler)
	factory.Discovery().V1().EndpointSlices().Informer().AddEventHandler(handler)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	if err := all.serveNames(ctx); err != nil {
		return nil, err
	}
	touch()
	go all.keepRules(ctx)
	return all, nil
}

func (s *services) keepRules(ctx context.Context) {
	for {
		select {
		case <-s.changed:
		case <-ctx.Done():
			return
		}
		if rules := s.rules(); rules != s.current {
			command := exec.Command("nft", "-f", "-")
			command.Stdin = strings.NewReader(rules)
			if out, err := command.CombinedOutput(); err != nil {
				log.Printf("nft: %v: %s", err, out)
			} else {
				s.current = rules
			}
		}
		pause(ctx, rulesAtMostEvery)
	}
}

// endpoints of a service's port, of one family, "ADDRESS . PORT".
func (s *services) endpoints(service *v1.Service, port v1.ServicePort, v6 bool) []string {
	found, _ := s.slices.EndpointSlices(service.Namespace).List(labels.SelectorFromSet(
		labels.Set{discovery.LabelServiceName: service.Name}))
	var list []string
	for _, slice := range found {
		if (slice.AddressType == discovery.AddressTypeIPv6) != v6 {
			continue
		}
		for _, one := range slice.Ports {
			if one.Port == nil || (one.Name != nil && *one.Name != port.Name) {
				continue
			}
			for _, address := range readyAddresses(slice, service.Spec.PublishNotReadyAddresses) {
				list = append(list, fmt.Sprintf("%s . %d", address, *one.Port))
			}
		}
	}
	sort.Strings(list)
	return list
}

func readyAddresses(slice *discovery.EndpointSlice, unreadyToo bool) []string {
	var list []string
	for i := range slice.Endpoints {
		one := &slice.Endpoints[i]
		if unreadyToo || one.Conditions.Ready == nil || *one.Conditions.Ready {
			list = append(list, one.Addresses...)
		}
	}
	return list
}

// rules is the whole table, replaced in one step.
func (s *services) rules() string {
	all, _ := s.services.List(labels.Everything())
	sort.Slice(all, func(i, j int) bool {
		return all[i].Namespace+"/"+all[i].Name < all[j].Namespace+"/"+all[j].Name
	})
	var lead, hairpin strings.Builder
	seen := map[string]bool{}
	for _, service := range all {
		if service.Namespace == "default" && service.Name == "kubernetes" {
			continue // has a route of its own, which needs no endpoints
		}
		for _, port := range service.Spec.Ports {
			s.writeRules(&lead, &hairpin, seen, service, port)
		}
	}
	return "table inet weft-lab\ndelete table inet weft-lab\ntable inet weft-lab {\n" +
		"chain services {\n" + lead.String() + "}\n" +
		"chain prerouting { type nat hook prerouting priority -100; jump services; }\n" +
		"chain output { type nat hook output priority -100; jump services; }\n" +
		"chain postrouting { type nat hook postrouting priority 100;\nct mark 0x4000 masquerade\n" +
		hairpin.String() + "}\n}\n"
}

func (s *services) writeRules(lead, hairpin *strings.Builder, seen map[string]bool, service *v1.Service, port v1.ServicePort) {
	protocol := strings.ToLower(string(port.Protocol))
	if protocol != "tcp" && protocol != "udp" {
		return
	}
	for _, v6 := range []bool{false, true} {
		family := "ip"
		if v6 {
			family = "ip6"
		}
		endpoints := s.endpoints(service, port, v6)
		if len(endpoints) == 0 {
			continue
		}
		var choices []string
		for i, one := range endpoints {
			choices = append(choices, fmt.Sprintf("%d : %s", i, one))
			address, _, _ := strings.Cut(one, " ")
			if !seen[address] {
				seen[address] = true
				fmt.Fprintf(hairpin, "%s saddr %s %s daddr %s masquerade\n", family, address, family, address)
			}
		}
		target := fmt.Sprintf("dnat %s to numgen random mod %d map { %s }", family, len(choices), strings.Join(choices, ", "))
		for _, text := range service.Spec.ClusterIPs {
			if address, err := netip.ParseAddr(text); err == nil && address.Is6() == v6 {
				fmt.Fprintf(lead, "%s daddr %s %s dport %d %s\n", family, text, protocol, port.Port, target)
			}
		}
		if port.NodePort != 0 {
			fmt.Fprintf(lead, "meta nfproto %s fib daddr type local %s dport %d ct mark set 0x4000 %s\n",
				map[bool]string{false: "ipv4", true: "ipv6"}[v6], protocol, port.NodePort, target)
		}
	}
}
