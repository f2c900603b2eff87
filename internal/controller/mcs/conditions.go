package mcs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/clip"
)

// exportConditions are those that a ServiceExport should have, given those that it has.
func exportConditions(is *mcsv1beta1.ServiceExport, p *plan, now time.Time) []metav1.Condition {
	conditions := slices.Clone(is.Status.Conditions)
	set := func(c metav1.Condition) {
		c.ObservedGeneration = is.Generation
		c.LastTransitionTime = metav1.NewTime(now)
		meta.SetStatusCondition(&conditions, c)
	}
	set(validCondition(is, p))
	set(readyCondition(p))
	set(conflictCondition(p))
	return conditions
}

// setFailed records that a write failed, which the controller retries.
func setFailed(conditions *[]metav1.Condition, is *mcsv1beta1.ServiceExport, err error, now time.Time) {
	const most = 512 // bytes; the log has the rest
	c := mcsv1beta1.NewServiceExportCondition(mcsv1beta1.ServiceExportConditionReady, metav1.ConditionFalse,
		mcsv1beta1.ServiceExportReasonFailed, clip.Text(err.Error(), most))
	c.ObservedGeneration, c.LastTransitionTime = is.Generation, metav1.NewTime(now)
	meta.SetStatusCondition(conditions, c)
}

func validCondition(is *mcsv1beta1.ServiceExport, p *plan) metav1.Condition {
	c := mcsv1beta1.NewServiceExportCondition(mcsv1beta1.ServiceExportConditionValid, metav1.ConditionFalse, p.valid, "")
	switch p.valid {
	case mcsv1beta1.ServiceExportReasonNoService:
		c.Message = fmt.Sprintf("There is no Service %s in namespace %s: create it, or delete this export.", is.Name, is.Namespace)
	case mcsv1beta1.ServiceExportReasonInvalidServiceType:
		c.Message = "A Service of type ExternalName has no endpoints of its own and cannot be exported."
	default:
		c.Status, c.Message = metav1.ConditionTrue, "The Service can be exported."
	}
	return c
}

func readyCondition(p *plan) metav1.Condition {
	no := func(message string) metav1.Condition {
		return mcsv1beta1.NewServiceExportCondition(mcsv1beta1.ServiceExportConditionReady, metav1.ConditionFalse,
			mcsv1beta1.ServiceExportReasonFailed, message)
	}
	switch {
	case !p.exported:
		return no("Not exported, see Valid.")
	case p.foreign:
		return no("The Service is exported to peers, but it is not imported here: " +
			"a ServiceImport of that name is there that Eastway did not make. Delete it if no other MCS implementation needs it.")
	case len(p.left) > 0:
		return no(fmt.Sprintf("Exported, but some %s are left out of the import: there are too many.", strings.Join(p.left, " and ")))
	}
	return mcsv1beta1.NewServiceExportCondition(mcsv1beta1.ServiceExportConditionReady, metav1.ConditionTrue,
		mcsv1beta1.ServiceExportReasonExported, "The Service is exported to peers.")
}

func conflictCondition(p *plan) metav1.Condition {
	none := mcsv1beta1.NewServiceExportCondition(mcsv1beta1.ServiceExportConditionConflict, metav1.ConditionFalse,
		mcsv1beta1.ServiceExportReasonNoConflicts, "All clusters export it alike.")
	if !p.exported || len(p.resolved.Conflicts) == 0 {
		return none
	}
	var reasons, messages []string
	for i := range p.resolved.Conflicts {
		c := &p.resolved.Conflicts[i]
		reasons = append(reasons, string(conflictReason(c.Field)))
		messages = append(messages, conflictMessage(c, len(p.resolved.Clusters)))
	}
	return mcsv1beta1.NewServiceExportCondition(mcsv1beta1.ServiceExportConditionConflict, metav1.ConditionTrue,
		mcsv1beta1.ServiceExportConditionReason(strings.Join(reasons, ",")), strings.Join(messages, " "))
}

func conflictReason(field string) mcsv1beta1.ServiceExportConditionReason {
	switch field {
	case discovery.FieldPorts:
		return mcsv1beta1.ServiceExportReasonPortConflict
	case discovery.FieldType:
		return mcsv1beta1.ServiceExportReasonTypeConflict
	case discovery.FieldSessionAffinity:
		return mcsv1beta1.ServiceExportReasonSessionAffinityConflict
	case discovery.FieldSessionAffinityConfig:
		return mcsv1beta1.ServiceExportReasonSessionAffinityConfigConflict
	case discovery.FieldInternalTrafficPolicy:
		return mcsv1beta1.ServiceExportReasonInternalTrafficPolicyConflict
	case discovery.FieldTrafficDistribution:
		return mcsv1beta1.ServiceExportReasonTrafficDistributionConflict
	case discovery.FieldLabels:
		return mcsv1beta1.ServiceExportReasonLabelsConflict
	default:
		return mcsv1beta1.ServiceExportReasonAnnotationsConflict
	}
}

// conflictMessage names the field, the value that counts and why, and the clusters that disagree.
func conflictMessage(c *discovery.Conflict, clusters int) string {
	others := fmt.Sprintf("%d of %d clusters disagree: %s.", len(c.Disagree), clusters, list(c.Disagree))
	if len(c.Disagree) == 1 {
		others = fmt.Sprintf("1 of %d clusters disagrees: %s.", clusters, c.Disagree[0])
	}
	switch {
	case c.Field == discovery.FieldPorts:
		return fmt.Sprintf("ports: the union is used, %q's where two differ, because its export is the oldest that is known here; "+
			"a port reaches only clusters that have it. %s", c.Cluster, others)
	case c.Used == "":
		return fmt.Sprintf("%s: those of %q are used, because its export is the oldest that is known here. %s", c.Field, c.Cluster, others)
	default:
		return fmt.Sprintf("%s: %q of %q is used, because its export is the oldest that is known here. %s", c.Field, c.Used, c.Cluster, others)
	}
}
