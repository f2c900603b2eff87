package kubecli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/takeover/eligible"
	"github.com/eastway/eastway/internal/takeover/report"
)

// agentsAtOnce is how many node agents are queried at a time: each is a connection through the API server.
const agentsAtOnce = 8

// Agent is a node agent and its status.
type Agent struct {
	Pod    *corev1.Pod
	Status report.Status
	// Err is why there is no status.
	Err error
}

// Agents gets the status of every node agent.
func (c *Cluster) Agents(ctx context.Context) ([]Agent, error) {
	pods, err := c.Pods(ctx, Node)
	if err != nil {
		return nil, err
	}
	agents := make([]Agent, len(pods))
	var group errgroup.Group
	group.SetLimit(agentsAtOnce)
	for i := range pods {
		group.Go(func() error {
			agents[i] = c.agent(ctx, &pods[i])
			return nil
		})
	}
	_ = group.Wait() // errors are in the agents
	return agents, nil
}

// ServiceToTake is Service; for one that only peers have, the error is how to call it.
func (c *Cluster) ServiceToTake(ctx context.Context, namespace, name string) (*corev1.Service, error) {
	service, err := c.Service(ctx, namespace, name)
	if !errors.Is(err, ErrNotFound) {
		return service, err
	}
	imported, failed := c.ServiceImport(ctx, namespace, name)
	if failed != nil || imported == nil {
		return nil, err
	}
	port := "PORT"
	if len(imported.Ports) > 0 {
		port = strconv.Itoa(int(imported.Ports[0]))
	}
	kubectl := "kubectl"
	if c.Context != "" {
		kubectl += " --context " + c.Context
	}
	return nil, fmt.Errorf("%w: there is no Service %s/%s in %s to take over. It is imported from %s: call it as "+
		"%s.%s.svc.clusterset.local, or make one of that name (%s -n %s create service clusterip %s --tcp=%s)", ErrNotFound, namespace, name, c,
		sentenceList(imported.Clusters), name, namespace, kubectl, namespace, name, port)
}

func (c *Cluster) agent(ctx context.Context, pod *corev1.Pod) Agent {
	a := Agent{Pod: pod}
	if !Ready(pod) {
		a.Err = fmt.Errorf("the pod %s", Problem(pod))
		return a
	}
	answer, err := c.GetPod(ctx, pod, HealthPortOf(pod, NodeHealthPort), report.Path)
	switch {
	case err != nil:
		a.Err = err
	case answer.Code != http.StatusOK:
		a.Err = fmt.Errorf("/takeovers answered %d: %s", answer.Code, oneLine(string(answer.Body)))
	default:
		if err := json.Unmarshal(answer.Body, &a.Status); err != nil {
			a.Err = fmt.Errorf("answer of /takeovers: %w", err)
		}
	}
	return a
}

// Refuses is why the node agents would not take the Service over; "" if they would.
func (c *Cluster) Refuses(service *corev1.Service) string {
	reason, _ := eligible.Check(service, c.Namespace)
	return reason
}

// TakeOver sets the annotation, or removes it. It is false if that was so already.
func (c *Cluster) TakeOver(ctx context.Context, service *corev1.Service, on bool) (changed bool, err error) {
	if eligible.Wanted(service) == on {
		return false, nil
	}
	var value any
	if on {
		value = "true"
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{v1alpha1.TakeoverAnnotation: value}}})
	if err != nil {
		return false, fmt.Errorf("annotate the Service: %w", err)
	}
	err = c.client.Patch(ctx, service, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldManager))
	return err == nil, c.explain("annotate Service "+service.Namespace+"/"+service.Name, err)
}

// TakeoverState is how far the node agents have come with one Service.
type TakeoverState struct {
	Nodes, Done int
	// Open is what keeps the others, one line for each node.
	Open []string
}

// Summary for people.
func (s TakeoverState) Summary() string {
	if len(s.Open) == 0 {
		return fmt.Sprintf("done on every node (%d)", s.Nodes)
	}
	return fmt.Sprintf("done on %d of %d nodes: %s", s.Done, s.Nodes, strings.Join(s.Open[:min(len(s.Open), maxPodsNamed)], "; "))
}

// AwaitTakeover returns when every node agent has applied the change, or ctx ends. changed is called after each change. It
// returns the last state.
func (c *Cluster) AwaitTakeover(ctx context.Context, service string, on bool, changed func(TakeoverState)) (TakeoverState, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var last TakeoverState
	for {
		agents, err := c.Agents(ctx)
		if ctx.Err() != nil {
			return last, ctx.Err()
		}
		if err != nil {
			return last, err
		}
		if i := slices.IndexFunc(agents, func(a Agent) bool { return errors.Is(a.Err, ErrForbidden) }); i >= 0 {
			return last, agents[i].Err // waiting does not help
		}
		state := stateOfTakeover(agents, service, on)
		if state.Summary() != last.Summary() || last.Nodes == 0 {
			last = state
			changed(state)
		}
		if len(state.Open) == 0 {
			return state, nil
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-tick.C:
		}
	}
}

func stateOfTakeover(agents []Agent, service string, on bool) TakeoverState {
	state := TakeoverState{Nodes: len(agents)}
	for i := range agents {
		if why := openOn(&agents[i], service, on); why != "" {
			state.Open = append(state.Open, agents[i].Pod.Spec.NodeName+": "+why)
		} else {
			state.Done++
		}
	}
	return state
}

// openOn is what an agent has not done yet; "" if all is done.
func openOn(a *Agent, service string, on bool) string {
	if a.Err != nil {
		return oneLine(a.Err.Error())
	}
	at := slices.IndexFunc(a.Status.Services, func(s report.ServiceStatus) bool { return s.Service == service })
	switch {
	case !on && at < 0:
		return ""
	case !on:
		return "still takes it over"
	case at < 0:
		return "has not seen it yet"
	case a.Status.Error != "":
		return oneLine(a.Status.Error)
	case a.Status.Datapath.Bypassed != "":
		return "nftables is bypassed: " + oneLine(a.Status.Datapath.Bypassed)
	}
	s := &a.Status.Services[at]
	if s.Refused != "" {
		return s.Refused
	}
	for _, p := range s.Ports {
		if p.Reason != "" && strings.HasSuffix(p.Port, "/TCP") {
			return p.Port + ": " + p.Reason
		}
	}
	return ""
}
