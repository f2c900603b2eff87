package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	annotationLag  = "lab.eastway.dev/lag"
	annotationPick = "lab.eastway.dev/pick"

	// callTime for one answer of the API server.
	callTime = 5 * time.Second
	// maxAnswer in bytes; a lab has no thousands of services of this type.
	maxAnswer = 16 << 20
)

// client of the API server. It asks for everything each time, which for a
// lab's few objects is less than watching would be.
type client struct {
	server string
	http   *http.Client
}

func newClient(o options) (*client, error) {
	ca, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s has no certificate", o.ca)
	}
	pair, err := tls.LoadX509KeyPair(o.certificate, o.key)
	if err != nil {
		return nil, fmt.Errorf("read the own certificate: %w", err)
	}
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	return &client{server: o.server, http: &http.Client{
		Timeout: callTime, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true},
	}}, nil
}

// call the API server; the answer is read into result.
func (c *client) call(ctx context.Context, method, path string, body, result any) error {
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.server+path, &text)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/merge-patch+json")
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return json.Unmarshal(answer, result)
}

func (c *client) services(ctx context.Context) ([]service, error) {
	var list corev1.ServiceList
	// Of any version: the API server answers from memory, instead of reading thousands of Services from etcd each time.
	const path = "/api/v1/services?fieldSelector=spec.type%3DLoadBalancer&resourceVersion=0"
	if err := c.call(ctx, http.MethodGet, path, nil, &list); err != nil {
		return nil, err
	}
	var all []service
	for i := range list.Items {
		if list.Items[i].Spec.LoadBalancerClass == nil { // else it belongs to another implementation
			all = append(all, translate(&list.Items[i]))
		}
	}
	return all, nil
}

func translate(from *corev1.Service) service {
	s := service{
		namespace: from.Namespace, title: from.Name,
		created:   from.CreationTimestamp.Time,
		pickFirst: from.Annotations[annotationPick] == "first",
	}
	if lag, err := time.ParseDuration(from.Annotations[annotationLag]); err == nil {
		s.lag = max(lag, 0)
	}
	if from.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
		s.healthPort = int(from.Spec.HealthCheckNodePort)
	}
	if ingress := from.Status.LoadBalancer.Ingress; len(ingress) > 0 {
		s.told, _ = netip.ParseAddr(ingress[0].IP) // what is no address is not ours
	}
	for _, p := range from.Spec.Ports {
		protocol := strings.ToLower(string(p.Protocol))
		if (protocol == "tcp" || protocol == "udp") && p.NodePort != 0 {
			s.ports = append(s.ports, port{protocol: protocol, port: int(p.Port), node: int(p.NodePort)})
		}
	}
	return s
}

func (c *client) nodes(ctx context.Context) ([]node, error) {
	var list corev1.NodeList
	if err := c.call(ctx, http.MethodGet, "/api/v1/nodes?resourceVersion=0", nil, &list); err != nil {
		return nil, err
	}
	var all []node
	for i := range list.Items {
		n := &list.Items[i]
		if _, excluded := n.Labels[corev1.LabelNodeExcludeBalancers]; excluded {
			continue
		}
		for _, address := range n.Status.Addresses {
			if parsed, err := netip.ParseAddr(address.Address); err == nil && address.Type == corev1.NodeInternalIP {
				all = append(all, node{name: n.Name, address: parsed})
				break
			}
		}
	}
	return all, nil
}

func (c *client) setAddress(ctx context.Context, s service, address netip.Addr) error {
	patch := map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": []any{map[string]any{"ip": address.String()}}}}}
	var result corev1.Service
	return c.call(ctx, http.MethodPatch, fmt.Sprintf("/api/v1/namespaces/%s/services/%s/status", s.namespace, s.title), patch, &result)
}
