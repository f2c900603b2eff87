package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// blocks collects what the same policies deny.
type blocks struct {
	order []string
	of    map[string]*block
}

type block struct {
	policies []string
	what     []string
	ports    []int32
}

func (b *blocks) add(policies []string, what string, port int32) {
	if len(policies) == 0 {
		return
	}
	key := strings.Join(policies, " ")
	if b.of[key] == nil {
		if b.of == nil {
			b.of = map[string]*block{}
		}
		b.of[key], b.order = &block{policies: policies}, append(b.order, key)
	}
	of := b.of[key]
	if !slices.Contains(of.what, what) {
		of.what = append(of.what, what)
	}
	if !slices.Contains(of.ports, port) {
		of.ports = append(of.ports, port)
	}
}

func (b *blocks) results(describe func(*block) Result) (results []Result) {
	for _, key := range b.order {
		results = append(results, describe(b.of[key]))
	}
	return results
}

// subject is the policies, with the verb.
func (b *block) subject() string {
	if len(b.policies) == 1 {
		return "NetworkPolicy " + b.policies[0] + " does"
	}
	return "NetworkPolicies " + and(b.policies) + " do"
}

// add is the hint to add a rule to the policy, or to one of them.
func (b *block) add(direction, rule string) string {
	to := b.policies[0]
	if len(b.policies) > 1 {
		to = "one of them"
	}
	return fmt.Sprintf("add to spec.%s of %s: %s", direction, to, rule)
}

// portList is that of a rule.
func portList(ports []int32) string {
	var out []string
	for _, p := range slices.Sorted(slices.Values(ports)) {
		out = append(out, "{port: "+strconv.Itoa(int(p))+", protocol: TCP}")
	}
	return "[" + strings.Join(out, ", ") + "]"
}
