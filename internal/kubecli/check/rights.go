package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/eastway/eastway/internal/kubecli"
)

// reviewsAtOnce bounds questions under way: there are dozens, and the API server may be far away.
const reviewsAtOnce = 8

// right is what a component must be allowed to do with objects of one kind.
type right struct {
	// group and resource as in a rule, "peers/status" being a subresource.
	group, resource string
	// verbs, separated by spaces.
	verbs string
	// object is the only one that is meant, by its name after the release's, "ca" being RELEASE-ca; "" is all of them.
	object string
	// own: only in the installation's namespace.
	own bool
}

const (
	groupSlices  = "discovery.k8s.io"
	groupMCS     = "multicluster.x-k8s.io"
	groupEastway = "eastway.dev"
)

// needs are the rights without which a component does not do its work. The chart's tests compare them with its roles.
func needs(of kubecli.Component) []right {
	const follow = "list watch"
	switch of {
	case kubecli.Proxy:
		return []right{
			{resource: "services", verbs: follow},
			{resource: "nodes", verbs: follow},
			{group: groupSlices, resource: "endpointslices", verbs: follow},
			{group: groupMCS, resource: "serviceexports", verbs: follow},
			{group: groupEastway, resource: "peers", verbs: follow},
			{group: groupEastway, resource: "trafficpolicies", verbs: follow},
			{group: groupEastway, resource: "externalservices", verbs: follow},
		}
	case kubecli.Node:
		return []right{
			{resource: "services", verbs: follow},
			{resource: "nodes", verbs: "get"},
			{group: groupSlices, resource: "endpointslices", verbs: follow, own: true},
			{group: "apps", resource: "daemonsets", verbs: "get", object: "node", own: true},
		}
	case kubecli.Controller:
		return controllerNeeds()
	}
	return nil
}

func controllerNeeds() []right {
	const (
		follow = "list watch"
		keep   = "get patch"
		write  = "create patch delete"
	)
	return []right{
		{resource: "services", verbs: follow},
		{resource: "namespaces", verbs: follow},
		{resource: "nodes", verbs: follow},
		{group: groupSlices, resource: "endpointslices", verbs: follow + " " + write},
		{group: groupMCS, resource: "serviceexports", verbs: follow},
		{group: groupMCS, resource: "serviceexports/status", verbs: "patch"},
		{group: groupMCS, resource: "serviceimports", verbs: follow + " " + write},
		{group: groupMCS, resource: "serviceimports/status", verbs: "patch"},
		{group: groupEastway, resource: "peers", verbs: follow},
		{group: groupEastway, resource: "peers/status", verbs: "patch"},
		{group: groupEastway, resource: "trafficpolicies", verbs: follow},
		{group: groupEastway, resource: "trafficpolicies/status", verbs: "patch"},
		{group: groupEastway, resource: "externalservices", verbs: follow},
		{group: groupEastway, resource: "externalservices/status", verbs: "patch"},
		{resource: "events", verbs: "create patch"},
		{group: "rbac.authorization.k8s.io", resource: "clusterroles", verbs: "get", object: "controller"},

		{resource: "secrets", verbs: "create", own: true},
		{resource: "secrets", verbs: "get", object: "ca", own: true},
		{resource: "secrets", verbs: keep, object: "svid", own: true},
		{resource: "secrets", verbs: keep, object: "node-svid", own: true},
		{resource: "configmaps", verbs: "create", own: true},
		{resource: "configmaps", verbs: keep, object: "cluster", own: true},
		{resource: "services", verbs: write, own: true},
		{group: "coordination.k8s.io", resource: "leases", verbs: "create", own: true},
		{group: "coordination.k8s.io", resource: "leases", verbs: "get update", object: "controller", own: true},
	}
}

// Rights that the pods of a component need in an installation whose objects are called name-…, one verb each.
func Rights(of kubecli.Component, namespace, name string) []authorizationv1.ResourceAttributes {
	var all []authorizationv1.ResourceAttributes
	for _, r := range needs(of) {
		a := authorizationv1.ResourceAttributes{Group: r.group}
		a.Resource, a.Subresource, _ = strings.Cut(r.resource, "/")
		if r.object != "" {
			a.Name = name + "-" + r.object
		}
		if r.own {
			a.Namespace = namespace
		}
		for a.Verb = range strings.FieldsSeq(r.verbs) {
			all = append(all, a)
		}
	}
	return all
}

// rights checks that each component has the rights it needs.
func (f *facts) rights(ctx context.Context) []Result {
	var results []Result
	for _, c := range []struct {
		component kubecli.Component
		name      string
	}{{kubecli.Controller, "the controller"}, {kubecli.Proxy, "proxies"}, {kubecli.Node, "node agents"}} {
		pods, err := f.cluster.Pods(ctx, c.component)
		if err != nil {
			return append(results, unknown(err))
		}
		if len(pods) == 0 {
			continue // another check reports it, or it is not enabled
		}
		user := "system:serviceaccount:" + f.cluster.Namespace + ":" + pods[0].Spec.ServiceAccountName
		all := Rights(c.component, f.cluster.Namespace, f.cluster.Prefix())
		missing, err := f.missing(ctx, user, all)
		switch {
		case errors.Is(err, kubecli.ErrForbidden):
			return append(results, skip("you have no right to check the rights of other accounts (create subjectaccessreviews); "+
				"the components' logs show missing ones"))
		case err != nil:
			return append(results, unknown(err))
		case len(missing) > 0:
			results = append(results, fail("%s (service account %s) is not allowed to %s", c.name, pods[0].Spec.ServiceAccountName, and(missing)).
				hint("restore the role %s-%s and its binding: helm upgrade applies the chart's; they take effect within seconds",
					f.cluster.Prefix(), c.component))
		default:
			results = append(results, ok("%s: all %d rights that are needed", c.name, len(all)))
		}
	}
	return results
}

// missing describes the rights that a user lacks, with the verbs of one kind together.
func (f *facts) missing(ctx context.Context, user string, all []authorizationv1.ResourceAttributes) ([]string, error) {
	may := make([]bool, len(all))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(reviewsAtOnce)
	for i := range all {
		group.Go(func() (err error) {
			may[i], err = f.cluster.May(ctx, user, all[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var kinds []string
	verbs := map[string][]string{}
	for i := range all {
		if may[i] {
			continue
		}
		kind := describe(&all[i])
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
		verbs[kind] = append(verbs[kind], all[i].Verb)
	}
	for i, kind := range kinds {
		kinds[i] = strings.Join(verbs[kind], "/") + " " + kind
	}
	return kinds, nil
}

// describe names the objects of a right as kubectl does.
func describe(a *authorizationv1.ResourceAttributes) string {
	kind := a.Resource
	if a.Group != "" {
		kind += "." + a.Group
	}
	if a.Subresource != "" {
		kind += "/" + a.Subresource
	}
	if a.Name != "" {
		kind = fmt.Sprintf("%s %s", kind, a.Name)
	}
	if a.Namespace != "" {
		kind += " in " + a.Namespace
	}
	return kind
}
