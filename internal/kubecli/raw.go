package kubecli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/version"
)

const (
	// maxAnswer bounds what is read of an answer, in bytes: metrics of a proxy with ten thousand services.
	maxAnswer = 32 << 20
	// podTimeout bounds a request to a pod, the way there included.
	podTimeout = 25 * time.Second
)

// Answer of an HTTP server.
type Answer struct {
	Code int
	Body []byte
	// Date is the server's clock, in whole seconds; zero if there is none. Asked and Answered are ours.
	Date            time.Time
	Asked, Answered time.Time
}

// Ahead is how far the server's clock is ahead of ours; what the way and its whole seconds may explain is left out.
func (a *Answer) Ahead() time.Duration {
	if a.Date.IsZero() {
		return 0
	}
	// When the server wrote the second, its clock was between Date and Date + 1 s, and ours between Asked and Answered.
	if early := a.Date.Sub(a.Answered); early > 0 {
		return early
	}
	if late := a.Date.Add(time.Second).Sub(a.Asked); late < 0 {
		return late
	}
	return 0
}

// Version is that of the API server.
func (c *Cluster) Version(ctx context.Context) (version.Info, *Answer, error) {
	var info version.Info
	answer, err := c.get(ctx, "version")
	if err == nil {
		err = json.Unmarshal(answer.Body, &info)
	}
	return info, answer, c.explain("get the version", err)
}

// Served returns the versions of an API group with their resources; none if the cluster lacks the group.
func (c *Cluster) Served(ctx context.Context, group string) (map[string][]string, error) {
	attempt := "discover the API group " + group
	var found metav1.APIGroup
	answer, err := c.get(ctx, "apis", group)
	if apierrors.IsNotFound(err) {
		return map[string][]string{}, nil
	}
	if err == nil {
		err = json.Unmarshal(answer.Body, &found)
	}
	if err != nil {
		return nil, c.explain(attempt, err)
	}
	served := map[string][]string{}
	for _, v := range found.Versions {
		answer, err := c.get(ctx, "apis", group, v.Version)
		var list metav1.APIResourceList
		if err == nil {
			err = json.Unmarshal(answer.Body, &list)
		}
		if err != nil {
			return nil, c.explain(attempt, err)
		}
		for _, r := range list.APIResources {
			served[v.Version] = append(served[v.Version], r.Name)
		}
	}
	return served, nil
}

func (c *Cluster) base() (*url.URL, error) {
	host := c.Server
	if !strings.Contains(host, "://") {
		host = "https://" + host
	}
	u, err := url.Parse(host)
	if err != nil {
		return nil, fmt.Errorf("API server %q: %w", c.Server, err)
	}
	return u, nil
}

// get sends a request to the API server itself.
func (c *Cluster) get(ctx context.Context, path ...string) (*Answer, error) {
	u, err := c.base()
	if err != nil {
		return nil, err
	}
	answer, err := exchange(ctx, c.http, u.JoinPath(path...).String())
	if err != nil {
		return nil, err
	}
	if answer.Code != http.StatusOK {
		return nil, apierrors.NewGenericServerResponse(answer.Code, "get", schema.GroupResource{}, "", oneLine(string(answer.Body)), 0, true)
	}
	return answer, nil
}

// GetPod sends a request to an HTTP server in the pod, through a port-forward.
func (c *Cluster) GetPod(ctx context.Context, pod *corev1.Pod, port uint16, path string) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, podTimeout)
	defer cancel()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := c.DialPod(ctx, pod.Namespace, pod.Name, port)
		if err != nil {
			return nil, &forwardError{err}
		}
		return conn, nil
	}}
	defer transport.CloseIdleConnections()
	host := net.JoinHostPort("localhost", strconv.Itoa(int(port)))
	answer, err := exchange(ctx, &http.Client{Transport: transport}, "http://"+host+path)
	if forward, ok := errors.AsType[*forwardError](err); ok {
		return nil, forward.error // net/http would wrap it
	}
	if err != nil {
		return nil, fmt.Errorf("request from port %d of pod %s/%s: %w: %w", port, pod.Namespace, pod.Name, ErrUnreachable, innermost(err))
	}
	return answer, nil
}

// forwardError distinguishes no connection to a pod from no answer over it.
type forwardError struct{ error }

// HealthPortOf is the container port "health" of a pod, or the one that it is probed at, or else the usual one of its component.
func HealthPortOf(pod *corev1.Pod, usual uint16) uint16 {
	if port, found := PortOf(pod, intstr.FromString("health")); found {
		return port
	}
	for i := range pod.Spec.Containers {
		if probe := pod.Spec.Containers[i].ReadinessProbe; probe != nil && probe.HTTPGet != nil {
			if port, found := PortOf(pod, probe.HTTPGet.Port); found {
				return port
			}
		}
	}
	return usual
}

// PortOf is the number of a pod's port, given as number or name.
func PortOf(pod *corev1.Pod, port intstr.IntOrString) (uint16, bool) {
	number := port.IntVal
	if port.Type == intstr.String {
		for i := range pod.Spec.Containers {
			for _, p := range pod.Spec.Containers[i].Ports {
				if p.Name == port.StrVal {
					number = p.ContainerPort
				}
			}
		}
	}
	if number <= 0 || number > 0xffff {
		return 0, false
	}
	return uint16(number), true
}

func exchange(ctx context.Context, client *http.Client, target string) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer := &Answer{Asked: time.Now()}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	answer.Answered = time.Now()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	err = errors.Join(err, resp.Body.Close())
	if err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	answer.Code, answer.Body = resp.StatusCode, body
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		answer.Date = date
	}
	return answer, nil
}
