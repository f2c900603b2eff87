package mcs

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/apply"
)

// metadataAnnotation is a hash of the exported labels and annotations that an import carries. It shows that one is no longer
// exported without tracking field managers.
const metadataAnnotation = "eastway.dev/exported-words"

// reserved is true for labels and annotations that Eastway and EndpointSlices use themselves.
func reserved(key string) bool {
	prefix, _, _ := strings.Cut(key, "/")
	return key == managedByLabel || prefix == "eastway.dev" || prefix == "multicluster.kubernetes.io" ||
		prefix == "kubectl.kubernetes.io"
}

// exportable are the exported labels or annotations that an object may carry.
func exportable(in map[string]string, validValue func(string) []string) map[string]string {
	out := make(map[string]string, len(in))
	for k, v := range in {
		if !reserved(k) && len(validation.IsQualifiedName(k)) == 0 && (validValue == nil || len(validValue(v)) == 0) {
			out[k] = v
		}
	}
	return out
}

// desiredImport is the ServiceImport for i. derived is the Service that backs it, nil for a headless one.
func desiredImport(name discovery.ServiceName, i *discovery.Import, derived *corev1.Service) *mcsv1beta1.ServiceImport {
	labels := exportable(i.Labels, validation.IsValidLabelValue)
	annotations := exportable(i.Annotations, nil)
	out := &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Labels: map[string]string{}},
		Spec: mcsv1beta1.ServiceImportSpec{
			Type:  mcsv1beta1.ClusterSetIP,
			Ports: []mcsv1beta1.ServicePort{},
			// None is the default, and ignored when headless.
			SessionAffinity: corev1.ServiceAffinityNone,
		},
	}
	if size := size(labels) + size(annotations); size > 0 && size <= maxExportedWords {
		maps.Copy(out.Labels, labels)
		out.Annotations = annotations
		out.Annotations[metadataAnnotation] = hashWords(labels, annotations)
	}
	out.Labels[managedByLabel] = v1alpha1.ManagedByName
	for _, p := range i.Ports {
		port := mcsv1beta1.ServicePort{Name: p.Name, Protocol: corev1.Protocol(p.Protocol), Port: int32(p.Port)}
		if p.AppProtocol != "" {
			port.AppProtocol = &p.AppProtocol
		}
		out.Spec.Ports = append(out.Spec.Ports, port)
	}
	policy := corev1.ServiceInternalTrafficPolicy(cmp.Or(i.Spec.InternalTrafficPolicy, string(corev1.ServiceInternalTrafficPolicyCluster)))
	out.Spec.InternalTrafficPolicy = &policy
	if d := i.Spec.TrafficDistribution; d != "" {
		out.Spec.TrafficDistribution = &d
	}
	if i.Spec.Headless {
		out.Spec.Type = mcsv1beta1.Headless
		return out
	}
	if i.Spec.SessionAffinity != "" {
		out.Spec.SessionAffinity = corev1.ServiceAffinity(i.Spec.SessionAffinity)
		out.Spec.SessionAffinityConfig = affinityConfig(&i.Spec)
	}
	if derived != nil {
		out.Spec.IPs = clusterIPs(derived)
		out.Spec.IPFamilies = derived.Spec.IPFamilies
	}
	return out
}

// headlessFamilies are those in which the pods of a headless import have addresses in this cluster; while there is no pod they
// stay as they were.
func headlessFamilies(s *state, p *plan, derived map[string]*corev1.Service) []corev1.IPFamily {
	var out []corev1.IPFamily
	add := func(families []corev1.IPFamily) {
		for _, f := range families {
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	if p.exported {
		add(s.service.Spec.IPFamilies)
	}
	for _, d := range derived {
		if d.Labels[v1alpha1.DerivedLabel] == v1alpha1.DerivedPod {
			add(d.Spec.IPFamilies) // the cluster's own, the same for all of them
		}
	}
	if len(out) == 0 && s.serviceImport != nil {
		return s.serviceImport.Spec.IPFamilies
	}
	return out
}

func size(m map[string]string) int {
	n := 0
	for k, v := range m {
		n += len(k) + len(v)
	}
	return n
}

func hashWords(labels, annotations map[string]string) string {
	// Maps of strings are always encodable, with sorted keys.
	data, _ := json.Marshal([]map[string]string{labels, annotations}) //nolint:errchkjson // see above
	sum := sha256.Sum256(data)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// clusterIPs of a derived Service, in the order of its IP families.
func clusterIPs(s *corev1.Service) []string {
	if len(s.Spec.ClusterIPs) > 0 {
		return s.Spec.ClusterIPs
	}
	if s.Spec.ClusterIP != "" && s.Spec.ClusterIP != corev1.ClusterIPNone {
		return []string{s.Spec.ClusterIP}
	}
	return nil
}

// sameImport is true when nothing has to be written.
func sameImport(is, want *mcsv1beta1.ServiceImport) bool {
	return hasAll(is.Labels, want.Labels) && hasAll(is.Annotations, want.Annotations) &&
		is.Annotations[metadataAnnotation] == want.Annotations[metadataAnnotation] &&
		is.Annotations[heardAnnotation] == want.Annotations[heardAnnotation] &&
		hasOwners(is, want) &&
		equal(is.Spec, want.Spec)
}

// hasOwners is true when is has every owner that want has.
func hasOwners(is, want metav1.Object) bool {
	return !slices.ContainsFunc(want.GetOwnerReferences(), func(w metav1.OwnerReference) bool { return !apply.OwnedBy(is, &w) })
}

// importStatus is the status that an import should have, given the one it has.
func importStatus(is *mcsv1beta1.ServiceImport, i *discovery.Import, now time.Time) mcsv1beta1.ServiceImportStatus {
	status := *is.Status.DeepCopy()
	status.EndpointSliceObjects = mcsv1beta1.EndpointSliceObjectsPresent
	status.Clusters = nil
	for _, c := range slices.Sorted(slices.Values(i.Clusters)) {
		status.Clusters = append(status.Clusters, mcsv1beta1.ClusterStatus{Cluster: c})
	}
	ready := mcsv1beta1.NewServiceImportCondition(mcsv1beta1.ServiceImportConditionReady, metav1.ConditionTrue,
		mcsv1beta1.ServiceImportReasonReady, fmt.Sprintf("Exported by %s.", list(slices.Sorted(slices.Values(i.Clusters)))))
	if is.Spec.Type == mcsv1beta1.ClusterSetIP && len(is.Spec.IPs) == 0 {
		ready.Status, ready.Reason = metav1.ConditionFalse, string(mcsv1beta1.ServiceImportReasonPending)
		ready.Message = "It has no address yet."
	}
	ready.ObservedGeneration = is.Generation
	ready.LastTransitionTime = metav1.NewTime(now)
	meta.SetStatusCondition(&status.Conditions, ready)
	return status
}

// importPorts and importSpec convert an import to the catalog's types.
func importPorts(i *mcsv1beta1.ServiceImport) []discovery.ServicePort {
	var out []discovery.ServicePort
	for _, p := range i.Spec.Ports {
		sp := discovery.ServicePort{Name: p.Name, Port: number(p.Port), Protocol: cmp.Or(string(p.Protocol), discovery.TCP)}
		if p.AppProtocol != nil {
			sp.AppProtocol = *p.AppProtocol
		}
		out = append(out, sp)
	}
	return out
}

func importSpec(i *mcsv1beta1.ServiceImport) discovery.ServiceSpec {
	s := spec(&corev1.Service{Spec: corev1.ServiceSpec{
		SessionAffinity: i.Spec.SessionAffinity, SessionAffinityConfig: i.Spec.SessionAffinityConfig,
		InternalTrafficPolicy: i.Spec.InternalTrafficPolicy, TrafficDistribution: i.Spec.TrafficDistribution,
	}})
	s.Headless = i.Spec.Type == mcsv1beta1.Headless
	return s
}

// list names the first few.
func list(names []string) string {
	if n := len(names); n > maxNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), n-maxNamed)
	}
	return strings.Join(names, ", ")
}
