package charts

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const componentLabel = "app.kubernetes.io/component"

var comment = regexp.MustCompile(`(?m)^(#.*|---)$`)

// workload is a Deployment, a DaemonSet or a bare pod: what has containers.
type workload struct {
	kind, name string
	labels     map[string]string // of its pods
	selector   map[string]string // nil: of a pod
	spec       corev1.PodSpec
}

// rendered is one rendering of the chart.
type rendered struct {
	text      string
	all       []metav1.Object
	kinds     map[metav1.Object]string
	workloads map[string]*workload // by component
}

// types are all kinds that the chart has. Those of the Prometheus operator stay as they are: its API is not a dependency.
func types() map[string]func() metav1.Object {
	other := func() metav1.Object { return &unstructured.Unstructured{} }
	return map[string]func() metav1.Object{
		"v1/ConfigMap":                                    func() metav1.Object { return &corev1.ConfigMap{} },
		"v1/Pod":                                          func() metav1.Object { return &corev1.Pod{} },
		"v1/Service":                                      func() metav1.Object { return &corev1.Service{} },
		"v1/ServiceAccount":                               func() metav1.Object { return &corev1.ServiceAccount{} },
		"apps/v1/DaemonSet":                               func() metav1.Object { return &appsv1.DaemonSet{} },
		"apps/v1/Deployment":                              func() metav1.Object { return &appsv1.Deployment{} },
		"autoscaling/v2/HorizontalPodAutoscaler":          func() metav1.Object { return &autoscalingv2.HorizontalPodAutoscaler{} },
		"networking.k8s.io/v1/NetworkPolicy":              func() metav1.Object { return &networkingv1.NetworkPolicy{} },
		"policy/v1/PodDisruptionBudget":                   func() metav1.Object { return &policyv1.PodDisruptionBudget{} },
		"rbac.authorization.k8s.io/v1/ClusterRole":        func() metav1.Object { return &rbacv1.ClusterRole{} },
		"rbac.authorization.k8s.io/v1/ClusterRoleBinding": func() metav1.Object { return &rbacv1.ClusterRoleBinding{} },
		"rbac.authorization.k8s.io/v1/Role":               func() metav1.Object { return &rbacv1.Role{} },
		"rbac.authorization.k8s.io/v1/RoleBinding":        func() metav1.Object { return &rbacv1.RoleBinding{} },
		"admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy": func() metav1.Object {
			return &admissionv1.ValidatingAdmissionPolicy{}
		},
		"admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding": func() metav1.Object {
			return &admissionv1.ValidatingAdmissionPolicyBinding{}
		},
		"gateway.networking.k8s.io/v1/GatewayClass": other,

		"monitoring.coreos.com/v1/PodMonitor":     other,
		"monitoring.coreos.com/v1/PrometheusRule": other,
		"monitoring.coreos.com/v1/ServiceMonitor": other,
	}
}

// render decodes every object strictly: a field that its type does not have is an error.
func render(t *testing.T, values string) *rendered {
	t.Helper()
	text, problems, err := template(t, values)
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, problems)
	}
	r := &rendered{text: text, kinds: make(map[metav1.Object]string), workloads: make(map[string]*workload)}
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		r.add(t, document)
	}
	return r
}

func (r *rendered) add(t *testing.T, document []byte) {
	t.Helper()
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	if kind.Kind == "" {
		if len(bytes.TrimSpace(comment.ReplaceAll(document, nil))) > 0 {
			t.Fatalf("no kind in\n%s", document)
		}
		return
	}
	construct, known := types()[kind.APIVersion+"/"+kind.Kind]
	if !known {
		t.Fatalf("%s/%s is not expected in this chart", kind.APIVersion, kind.Kind)
	}
	o := construct()
	if err := yaml.UnmarshalStrict(document, o); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	r.all = append(r.all, o)
	r.kinds[o] = kind.Kind
	switch o := o.(type) {
	case *appsv1.Deployment:
		r.addWorkload(t, &workload{kind.Kind, o.Name, o.Spec.Template.Labels, o.Spec.Selector.MatchLabels, o.Spec.Template.Spec})
	case *appsv1.DaemonSet:
		r.addWorkload(t, &workload{kind.Kind, o.Name, o.Spec.Template.Labels, o.Spec.Selector.MatchLabels, o.Spec.Template.Spec})
	case *corev1.Pod:
		r.addWorkload(t, &workload{kind.Kind, o.Name, o.Labels, nil, o.Spec})
	}
}

func (r *rendered) addWorkload(t *testing.T, w *workload) {
	t.Helper()
	component := w.labels[componentLabel]
	if component == "" || r.workloads[component] != nil {
		t.Fatalf("%s %s: component %q is none, or there are two", w.kind, w.name, component)
	}
	r.workloads[component] = w
}

// named are the objects of one type; the key is the name without the release's.
func named[T metav1.Object](r *rendered) map[string]T {
	found := make(map[string]T)
	for _, o := range r.all {
		if typed, ok := o.(T); ok {
			found[strings.TrimPrefix(o.GetName(), release+"-")] = typed
		}
	}
	return found
}

// selected are the components whose pods a selector matches.
func (r *rendered) selected(selector map[string]string) []string {
	var components []string
	for component, w := range r.workloads {
		if labels.SelectorFromSet(selector).Matches(labels.Set(w.labels)) {
			components = append(components, component)
		}
	}
	return components
}

// containers of all workloads, by the component and their number.
func (r *rendered) containers() map[string]*corev1.Container {
	all := make(map[string]*corev1.Container)
	for component, w := range r.workloads {
		for i := range w.spec.Containers {
			all[fmt.Sprintf("%s %d", component, i+1)] = &w.spec.Containers[i]
		}
	}
	return all
}

// args are the flags of the component's own container.
func (r *rendered) args(component string) map[string][]string {
	return flagsOf(&r.workloads[component].spec.Containers[0])
}

// flagsOf a container; the last of a name wins, as in the process.
func flagsOf(c *corev1.Container) map[string][]string {
	flags := make(map[string][]string)
	for _, arg := range c.Args[1:] {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		flags[name] = append(flags[name], value)
	}
	return flags
}
