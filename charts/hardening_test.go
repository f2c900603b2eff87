package charts

import (
	"maps"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// capabilities that a component may have; what is not listed has none.
func capabilities() map[string][]corev1.Capability {
	return map[string][]corev1.Capability{"node": {"NET_ADMIN"}}
}

func isTrue(b *bool) bool  { return b != nil && *b }
func isFalse(b *bool) bool { return b != nil && !*b }

// checkPods holds every pod to Pod Security's "restricted", but for what the node agent needs of its node.
func (r *rendered) checkPods(t *testing.T) {
	accounts := named[*corev1.ServiceAccount](r)
	for component, w := range r.workloads {
		spec := w.spec
		if spec.SecurityContext.SeccompProfile == nil || spec.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: seccomp is %v", component, spec.SecurityContext.SeccompProfile)
		}
		if spec.HostPID || spec.HostIPC || spec.HostNetwork != (component == "node") {
			t.Errorf("%s uses the node's namespaces", component)
		}
		if !isFalse(spec.EnableServiceLinks) {
			t.Errorf("%s gets every Service of the namespace as environment variables", component)
		}
		if spec.NodeSelector[corev1.LabelOSStable] != "linux" {
			t.Errorf("%s may be scheduled to a node that is not Linux", component)
		}
		if account := accounts[component]; account == nil || spec.ServiceAccountName != account.Name ||
			!isFalse(account.AutomountServiceAccountToken) || !isTrue(spec.AutomountServiceAccountToken) {
			t.Errorf("%s: ServiceAccount %q, %+v", component, spec.ServiceAccountName, account)
		}
		if len(spec.InitContainers) > 0 {
			t.Errorf("%s has init containers", component)
		}
		for i := range spec.Containers {
			name := component
			if i > 0 {
				name = "dns" // the only one that may be beside another
			}
			checkContainer(t, component, name, spec, &spec.Containers[i])
		}
		r.checkVolumes(t, component, spec)
	}
}

func checkContainer(t *testing.T, component, name string, spec corev1.PodSpec, c *corev1.Container) {
	t.Helper()
	s := c.SecurityContext
	if c.Name != name || c.Image == "" || len(c.Command) > 0 {
		t.Errorf("%s: container %s, image %q, command %q: the image has one entry point and no shell", component, c.Name, c.Image, c.Command)
	}
	if !isFalse(s.AllowPrivilegeEscalation) || !isTrue(s.ReadOnlyRootFilesystem) || isTrue(s.Privileged) {
		t.Errorf("%s: security context %+v", component, s)
	}
	if !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || !slices.Equal(s.Capabilities.Add, capabilities()[component]) {
		t.Errorf("%s: capabilities %+v", component, s.Capabilities)
	}
	if component != "node" && (!isTrue(s.RunAsNonRoot) || !isTrue(spec.SecurityContext.RunAsNonRoot) || *spec.SecurityContext.RunAsUser != 65532) {
		t.Errorf("%s may run as root", component)
	}
	if len(c.Resources.Requests) < 2 {
		t.Errorf("%s requests %v", component, c.Resources.Requests)
	}
	for _, p := range c.Ports {
		if p.HostPort != 0 && p.HostPort != p.ContainerPort {
			t.Errorf("%s has a host port: %+v", component, p)
		}
	}
}

// Volumes are for the certificates of proxies and agents, read-only, and for what they keep; one of the node's only for
// allowBBR. The CA is nowhere mounted, and no workload has the certificate of another.
func (r *rendered) checkVolumes(t *testing.T, component string, spec corev1.PodSpec) {
	t.Helper()
	found := make(map[string]string)
	for i := range spec.Volumes {
		switch v := &spec.Volumes[i]; {
		case v.Secret != nil:
			found[v.Name] = "secret " + v.Secret.SecretName
		case v.EmptyDir != nil && v.EmptyDir.SizeLimit != nil:
			found[v.Name] = "empty"
		case v.ConfigMap != nil:
			found[v.Name] = "configMap " + v.ConfigMap.Name
		case v.HostPath != nil:
			found[v.Name] = v.HostPath.Path
		default:
			t.Errorf("%s: volume %s is %+v", component, v.Name, v.VolumeSource)
		}
	}
	flags, want := r.args(component), map[string]string{}
	if component == "proxy" || component == "node" {
		want["state"] = "empty"
	}
	switch component {
	case "proxy":
		want["svid"] = "secret " + release + "-svid"
	case "node":
		want["svid"] = "secret " + release + "-node-svid"
	}
	for i := range spec.Containers[1:] {
		c := &spec.Containers[i+1]
		want[c.Name] = found[c.Name] // its manifests, of whatever name
		if !strings.HasPrefix(found[c.Name], "configMap ") || len(c.VolumeMounts) != 1 || !c.VolumeMounts[0].ReadOnly ||
			!slices.Equal(flagsOf(c)["config"], []string{c.VolumeMounts[0].MountPath}) {
			t.Errorf("%s: %s has %q at %+v", component, c.Name, found[c.Name], c.VolumeMounts)
		}
	}
	for i := range spec.Volumes {
		if v := &spec.Volumes[i]; strings.HasPrefix(v.Name, "credential-") { // of the operator's choice
			want[v.Name] = "secret " + v.Secret.SecretName
		}
	}
	if flags["allow-bbr"] != nil {
		want["sysctls"] = "/proc/sys/net"
	}
	if !maps.Equal(found, want) {
		t.Errorf("%s has the volumes %v, want %v", component, found, want)
	}
	paths := make(map[string]string)
	for _, m := range spec.Containers[0].VolumeMounts {
		paths[m.Name] = m.MountPath
		if m.Name != "state" && m.Name != "sysctls" && !m.ReadOnly {
			t.Errorf("%s is mounted to be written", m.Name)
		}
	}
	if proc := flags["proc"]; len(proc) > 0 && paths["sysctls"] != proc[0]+"/sys/net" {
		t.Errorf("%s looks for /proc at %v; mounted at %v", component, proc, paths)
	}
	for _, name := range []string{"svid", "state"} {
		if flags[name] != nil && !slices.Equal(flags[name], []string{paths[name]}) {
			t.Errorf("%s looks at %v; mounted at %v", component, flags[name], paths)
		}
	}
}

// secretRules are the only rights on Secrets in the chart.
func secretRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{
			APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "update", "patch"},
			ResourceNames: []string{release + "-ca", release + "-svid", release + "-node-svid"},
		},
		{APIGroups: []string{""}, Resources: []string{"secrets", "configmaps"}, Verbs: []string{"create"}},
	}
}

// rules are all rights of a component.
func (r *rendered) rules(component string) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	if role := named[*rbacv1.ClusterRole](r)[component]; role != nil {
		rules = append(rules, role.Rules...)
	}
	if role := named[*rbacv1.Role](r)[component]; role != nil {
		rules = append(rules, role.Rules...)
	}
	return rules
}

// checkRights: no workload has more rights than it needs, least of all one that faces the internet.
func (r *rendered) checkRights(t *testing.T) {
	clusterRoles, roles := named[*rbacv1.ClusterRole](r), named[*rbacv1.Role](r)
	for component, role := range clusterRoles {
		for _, rule := range role.Rules {
			checkRule(t, "ClusterRole "+component, rule)
			if slices.Contains(rule.Resources, "secrets") || slices.Contains(rule.Resources, "configmaps") {
				t.Errorf("ClusterRole %s reaches into every namespace: %v", component, rule)
			}
		}
	}
	for component, role := range roles {
		for _, rule := range role.Rules {
			checkRule(t, "Role "+component, rule)
			if !slices.Contains(rule.Resources, "secrets") {
				continue
			}
			if component == "entry-reads" && len(rule.ResourceNames) > 0 && slices.Equal(rule.Verbs, []string{"get", "list", "watch"}) {
				continue // those that the values name
			}
			allowed := component == "controller" && slices.ContainsFunc(secretRules(), func(want rbacv1.PolicyRule) bool {
				return want.String() == rule.String()
			})
			if !allowed {
				t.Errorf("Role %s: %v", component, rule)
			}
		}
	}
	if roles["proxy"] != nil {
		t.Error("the proxy has a Role of its own: it reads the same in all namespaces")
	}
	for _, component := range []string{"proxy", "node"} {
		for _, rule := range r.rules(component) {
			if slices.ContainsFunc(rule.Verbs, func(verb string) bool { return !slices.Contains([]string{"get", "list", "watch"}, verb) }) {
				t.Errorf("%s may do more than read: %v", component, rule)
			}
		}
	}
	r.checkBindings(t)
}

func checkRule(t *testing.T, who string, rule rbacv1.PolicyRule) {
	t.Helper()
	for _, words := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
		if len(words) == 0 || slices.Contains(words, "*") {
			t.Errorf("%s: %v", who, rule)
		}
	}
	for _, verb := range []string{"escalate", "bind", "impersonate", "deletecollection"} {
		if slices.Contains(rule.Verbs, verb) {
			t.Errorf("%s: %v", who, rule)
		}
	}
}

// checkBindings: each role of a workload is bound to that workload's account and to no other.
func (r *rendered) checkBindings(t *testing.T) {
	check := func(kind, name string, ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
		component := name
		wanted := rbacv1.Subject{Kind: "ServiceAccount", Name: release + "-" + component, Namespace: namespace}
		switch component {
		case "entry-reads":
			wanted.Name = release + "-entry"
		case "dns":
			wanted = rbacv1.Subject{Kind: "ServiceAccount", Name: "coredns", Namespace: "kube-system"}
		}
		if ref.Name != release+"-"+name || !slices.Equal(subjects, []rbacv1.Subject{wanted}) {
			t.Errorf("%s %s binds %s to %v", kind, name, ref.Name, subjects)
		}
	}
	clusterBindings, bindings := named[*rbacv1.ClusterRoleBinding](r), named[*rbacv1.RoleBinding](r)
	for name, b := range clusterBindings {
		check("ClusterRoleBinding", name, b.RoleRef, b.Subjects)
	}
	for name, b := range bindings {
		check("RoleBinding", name, b.RoleRef, b.Subjects)
	}
	for name := range r.workloads {
		if clusterBindings[name] == nil {
			t.Errorf("%s has no rights at all", name)
		}
	}
	for name := range named[*rbacv1.Role](r) {
		if bindings[name] == nil {
			t.Errorf("Role %s is not bound", name)
		}
	}
}

// The rule that bounds which EndpointSlices the controller may write is about its own account, and denies. e2e/mcs tries it.
func TestControllerIsBoundToItsSlices(t *testing.T) {
	t.Parallel()
	for name, values := range valueSets() {
		r := render(t, values)
		const rule = "controller-endpointslices"
		policy, binding := named[*admissionv1.ValidatingAdmissionPolicy](r)[rule], named[*admissionv1.ValidatingAdmissionPolicyBinding](r)[rule]
		if policy == nil || binding == nil || binding.Spec.PolicyName != policy.Name ||
			!slices.Equal(binding.Spec.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny}) {
			t.Errorf("%s: policy %+v, binding %+v", name, policy, binding)
			continue
		}
		account := "system:serviceaccount:" + namespace + ":" + named[*corev1.ServiceAccount](r)["controller"].Name
		if c := policy.Spec.MatchConditions; len(c) != 1 || !strings.HasSuffix(c[0].Expression, ` == "`+account+`"`) {
			t.Errorf("%s: the policy is for %+v, want %s", name, c, account)
		}
		if *policy.Spec.FailurePolicy != admissionv1.Fail {
			t.Errorf("%s: the policy lets through what it cannot judge", name)
		}
	}
}

// An entry faces the internet: it reads the Secrets and ConfigMaps that the values name, and writes nothing but status and its Lease.
func TestEntryRights(t *testing.T) {
	t.Parallel()
	r := render(t, valueSets()["an entry"])
	for _, rule := range r.rules("entry") {
		if slices.Equal(rule.Verbs, []string{"get", "list", "watch"}) || slices.Equal(rule.Resources, []string{"leases"}) {
			continue
		}
		for _, resource := range rule.Resources {
			if !strings.HasSuffix(resource, "/status") {
				t.Errorf("an entry may do more than read: %v", rule)
			}
		}
	}
	named := make(map[string][]string) // by namespace
	for _, o := range r.all {
		role, ok := o.(*rbacv1.Role)
		if !ok || !strings.HasSuffix(role.Name, "-entry-reads") {
			continue
		}
		for _, rule := range role.Rules {
			for _, name := range rule.ResourceNames {
				named[role.Namespace] = append(named[role.Namespace], rule.Resources[0]+"/"+name)
			}
		}
	}
	for namespace, want := range map[string][]string{
		"shop": {"configmaps/backend-ca", "secrets/shop-tls", "secrets/other-tls"}, "web": {"secrets/web-tls"}, "mtls": {"configmaps/client-ca"},
	} {
		if !slices.Equal(named[namespace], want) {
			t.Errorf("in %s an entry may read %v, want %v", namespace, named[namespace], want)
		}
	}
	for _, o := range render(t, `cluster: east`).all {
		if strings.Contains(o.GetName(), "entry") {
			t.Errorf("%s is there without a value that asks for it", o.GetName())
		}
	}
}
