package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/kubecli"
)

// maxNames is how many hosts of ExternalServices are looked up.
const maxNames = 50

// externalNames shows whether the cluster's DNS leads the hosts of ExternalServices to the proxies.
func (f *facts) externalNames(ctx context.Context) []Result {
	all, err := kubecli.Externals(ctx, f.cluster)
	switch {
	case errors.Is(err, kubecli.ErrNoKind):
		return nil // another check says so
	case err != nil:
		return one(unknown(err))
	case len(all) == 0:
		return nil
	}
	var results []Result
	var used []*v1alpha1.ExternalService
	for i := range all {
		if r, bad := externalState(&all[i]); bad {
			results = append(results, r)
		} else {
			used = append(used, &all[i])
		}
	}
	if len(used) == 0 {
		return results
	}
	dns, err := f.resolver(ctx)
	switch {
	case err != nil:
		return append(results, unknown(err))
	case dns == nil:
		return append(results, skip("no pod of the cluster's DNS was found (label %s=%s in %s)", dnsLabel, dnsLabelled, dnsNamespace))
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	led, left := 0, maxNames
	looked := lookedUp(all)
	for _, e := range used {
		for _, host := range e.Spec.Hosts {
			if left--; left < 0 {
				return append(results, skip("more than %d hosts: the others were not looked up", maxNames))
			}
			r, ok := f.externalName(ctx, dns, e, host, looked[dnsName(host)])
			if ok {
				led++
				continue
			}
			results = append(results, r)
		}
	}
	if led > 0 {
		results = append(results, ok("%s leads %s of ExternalServices to the proxies", dns.server, count(led, "host", "hosts")))
	}
	return results
}

// externalState is what is wrong with an ExternalService as such.
func externalState(e *v1alpha1.ExternalService) (Result, bool) {
	for _, kind := range []string{v1alpha1.ExternalAccepted, v1alpha1.ExternalProgrammed} {
		if c := meta.FindStatusCondition(e.Status.Conditions, kind); c != nil && c.Status == metav1.ConditionFalse {
			return warn("ExternalService %s/%s is not in use: %s", e.Namespace, e.Name, c.Message).
				hint("kubectl -n %s describe externalservice %s", e.Namespace, e.Name), true
		}
	}
	if len(e.Status.Addresses) == 0 {
		return warn("ExternalService %s/%s has no address yet", e.Namespace, e.Name).hint("does a controller lead?"), true
	}
	return Result{}, false
}

// lookedUp are the names that the proxies look up, by ExternalServices' endpoints.
func lookedUp(all []v1alpha1.ExternalService) map[string]bool {
	names := map[string]bool{}
	for i := range all {
		where := all[i].Spec.Where()
		for j := range where {
			names[dnsName(where[j].Address)] = true
		}
	}
	return names
}

// dnsName is a name as lookups have it.
func dnsName(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) + "." }

// externalName looks one host up; true: it leads to the proxies, as it should. own: the proxies look it up, too.
func (f *facts) externalName(ctx context.Context, dns *resolver, e *v1alpha1.ExternalService, host string, own bool) (Result, bool) {
	found, err := dns.LookupHost(ctx, dnsName(host))
	if why := dns.failure(); err != nil && why != nil {
		return skip("%s could not be queried: %v", dns.server, why), false
	}
	led := err == nil && !slices.ContainsFunc(found, func(a string) bool { return !slices.Contains(e.Status.Addresses, a) })
	switch {
	case own && led:
		return warn("%s leads %s to the proxies, which look it up as an endpoint's address, and find themselves", dns.server, host).
			hint("kubectl -n %s edit configmap %s, and remove the line with \"rewrite name exact %s\"; callers use %s", dnsNamespace, dnsConfigMap,
				strings.TrimSuffix(host, "."), e.Status.Hostname), false
	case own:
		return skip("%s stays with its owner's DNS, since the proxies look it up for endpoints: callers use %s", host, e.Status.Hostname), false
	case led:
		return Result{}, true
	}
	to := "elsewhere: " + and(found)
	if err != nil {
		to = "nowhere: " + lookupError(err)
	}
	return warn("callers of %s do not reach ExternalService %s/%s, %s leads them %s", host, e.Namespace, e.Name, dns.server, to).
		hint("kubectl -n %s edit configmap %s, and write above the line \"kubernetes\": %s",
			dnsNamespace, dnsConfigMap, f.rewrite(ctx, e, host)), false
}

// rewrite is the line of a Corefile that leads a host to the proxies.
func (f *facts) rewrite(ctx context.Context, e *v1alpha1.ExternalService, host string) string {
	domain := "cluster.local"
	if config, err := f.cluster.ConfigMap(ctx, dnsNamespace, dnsConfigMap); err == nil {
		domain = clusterDomain(config.Data["Corefile"], domain)
	}
	return fmt.Sprintf("rewrite name exact %s %s.%s answer auto", strings.TrimSuffix(host, "."), e.Status.Hostname, domain)
}

// clusterDomain is the first zone of the kubernetes block of a Corefile that is one of the cluster's own names.
func clusterDomain(corefile, otherwise string) string {
	for line := range strings.Lines(corefile) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "kubernetes" {
			continue
		}
		for _, zoneOf := range fields[1:] {
			if zoneOf != zone && zoneOf != "{" && !strings.HasSuffix(zoneOf, ".arpa") {
				return strings.TrimSuffix(zoneOf, ".")
			}
		}
	}
	return otherwise
}
