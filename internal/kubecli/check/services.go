package check

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/kubecli"
)

// exports judges the conditions of all ServiceExports.
func exports(ctx context.Context, f *facts) []Result {
	all, err := kubecli.Exports(ctx, f.cluster)
	switch {
	case errors.Is(err, kubecli.ErrNoKind):
		return nil // another check says so
	case err != nil:
		return one(unknown(err))
	case len(all) == 0:
		return one(skip("this cluster exports no service"))
	}
	var results []Result
	for i := range all {
		name, conditions := all[i].Namespace+"/"+all[i].Name, all[i].Status.Conditions
		bad := func(kind mcsv1beta1.ServiceExportConditionType, status metav1.ConditionStatus) *metav1.Condition {
			if c := meta.FindStatusCondition(conditions, string(kind)); c != nil && c.Status == status {
				return c
			}
			return nil
		}
		if c := bad(mcsv1beta1.ServiceExportConditionValid, metav1.ConditionFalse); c != nil {
			results = append(results, warn("%s is not exported: %s", name, c.Message).hint("%s", exportHint(&all[i], c)))
			continue
		}
		if c := bad(mcsv1beta1.ServiceExportConditionReady, metav1.ConditionFalse); c != nil {
			results = append(results, warn("%s is not exported yet: %s", name, c.Message).
				hint("kubectl -n %s describe serviceexport %s", all[i].Namespace, all[i].Name))
		}
		if c := bad(mcsv1beta1.ServiceExportConditionConflict, metav1.ConditionTrue); c != nil {
			results = append(results, warn("clusters export %s differently: %s", name, c.Message).
				hint("make the Services the same in all clusters that export them; until then the oldest export decides"))
		}
	}
	if len(results) == 0 {
		return one(ok("%s of this cluster", count(len(all), "export", "exports")))
	}
	return results
}

// exportHint is what to do about one that is not valid.
func exportHint(e *mcsv1beta1.ServiceExport, c *metav1.Condition) string {
	if c.Reason == string(mcsv1beta1.ServiceExportReasonNoService) {
		return "make the Service, or remove the export: eastway unexport " + e.Name + " -n " + e.Namespace
	}
	return "kubectl -n " + e.Namespace + " describe serviceexport " + e.Name
}

// policies judges the conditions of all TrafficPolicies.
func policies(ctx context.Context, f *facts) []Result {
	all, err := kubecli.Policies(ctx, f.cluster)
	switch {
	case errors.Is(err, kubecli.ErrNoKind):
		return nil
	case err != nil:
		return one(unknown(err))
	case len(all) == 0:
		return nil
	}
	var results []Result
	for i := range all {
		p := &all[i]
		if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PolicyAccepted); c != nil && c.Status == metav1.ConditionFalse {
			results = append(results, warn("TrafficPolicy %s/%s is not in use: %s", p.Namespace, p.Name, c.Message).hint("%s", policyHint(c)))
		}
	}
	if len(results) == 0 {
		return one(ok("%s in use", count(len(all), "TrafficPolicy is", "TrafficPolicies are")))
	}
	return results
}

func policyHint(c *metav1.Condition) string {
	switch c.Reason {
	case v1alpha1.ReasonTargetNotFound:
		return "correct spec.targetRef, or wait until a peer exports the service"
	case v1alpha1.ReasonConflicted:
		return "remove one of the two: the older one is used"
	}
	return "docs/policy.md has the fields and their values"
}

// authority compares the CA with what peers were given of it.
func authority(ctx context.Context, f *facts) []Result {
	own, err := f.getOwn(ctx)
	if err != nil {
		return one(skip("there is no own manifest to compare with"))
	}
	var results []Result
	ca, err := kubecli.CA(ctx, f.cluster)
	switch {
	case errors.Is(err, kubecli.ErrForbidden):
	case errors.Is(err, kubecli.ErrNotFound):
		results = append(results, fail("the Secret of the CA is gone: %v", err).
			hint("restore it from a backup at once: certificates are not renewed without it. Without a backup, start over with a CA that no peer "+
				"trusts: kubectl -n %s delete secret/%s-svid configmap/%s-cluster, and then, with each peer: eastway peer link --contexts THIS,OTHER",
				f.cluster.Namespace, f.cluster.Prefix(), f.cluster.Prefix()))
	case err != nil:
		results = append(results, fail("%v", err).hint("restore the Secret from a backup; the present certificates are used until they expire"))
	case ca != nil && !ca.Bundle().Equal(own.Identity.Bundle):
		results = append(results, warn("the CA's Secret has other roots than the manifest that peers get").
			hint("the controller publishes them within half a minute; then: eastway peer link"))
	}
	peers, err := f.getPeers(ctx)
	if err != nil {
		return results // another check says so
	}
	roots := own.Identity.Bundle.X509Authorities()
	for i := range peers {
		lacks, known := kubecli.Lacks(&peers[i], roots)
		switch p := peers[i].Name; {
		case !known || len(lacks) == 0:
		case len(lacks) == len(roots):
			results = append(results, warn("peer %s was linked with none of this cluster's present roots: unless it has imported the manifest "+
				"since, it refuses new connections, and present ones end with their certificates", p).hint("eastway peer link --contexts THIS,%s", p))
		default:
			results = append(results, warn("peer %s was linked without %s of this cluster: unless it has imported the manifest since, "+
				"it refuses certificates that lead there", p, count(len(lacks), "root", "roots")).hint("eastway peer link --contexts THIS,%s", p))
		}
	}
	if len(results) == 0 && ca != nil {
		return one(ok("the CA's Secret has the roots that peers get"))
	}
	return results
}
