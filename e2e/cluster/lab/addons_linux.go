package lab

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"text/template"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/mcs-api/config/crd"
)

//go:embed manifests/coredns.yaml
var corednsManifest string

// addOns installs the CRDs of the multi-cluster services API, then CoreDNS,
// which would stay unready without them, then the requested ones.
func (c *Cluster) addOns(ctx context.Context) error {
	manifest, err := template.New("coredns").Parse(corednsManifest)
	if err != nil {
		return fmt.Errorf("lab: read the manifest of CoreDNS: %w", err)
	}
	var text bytes.Buffer
	err = manifest.Execute(&text, map[string]any{
		"Image":      corednsImage,
		"Address":    c.families[0].network().dns,
		"Replicas":   min(len(c.Nodes), 2),
		"Clusterset": !c.lab.state.Config.WithoutClusterset,
	})
	if err != nil {
		return fmt.Errorf("lab: fill the manifest of CoreDNS: %w", err)
	}
	crds := bytes.Join([][]byte{crd.ServiceExportCRD, crd.ServiceImportCRD}, []byte("\n---\n"))
	manifests := [][]byte{crds, text.Bytes()}
	metrics, err := c.metricsManifests()
	if err != nil {
		return err
	}
	if metrics != nil {
		manifests = append(manifests, metrics)
	}
	for _, manifest := range manifests {
		if err := c.Apply(ctx, manifest); err != nil {
			return err
		}
	}
	return nil
}

// Apply manifests (YAML) to the cluster, with kubectl.
func (c *Cluster) Apply(ctx context.Context, manifests []byte) error {
	kubectl := c.Kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-f", "-")
	kubectl.Stdin = bytes.NewReader(manifests)
	if err := run(kubectl); err != nil {
		return fmt.Errorf("lab: apply manifests to %s: %w", c.Name, err)
	}
	return nil
}

// awaitDNS returns when all replicas of CoreDNS are ready.
func (c *Cluster) awaitDNS(ctx context.Context) error {
	clients, err := c.Clients()
	if err != nil {
		return err
	}
	return wait{
		what:  "CoreDNS of " + c.Name + " to be ready",
		limit: podTime,
		by:    []daemonRef{{c.control, controllerManager}, {c.control, scheduler}},
		done: func(ctx context.Context) error {
			deployment, err := clients.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if ready(deployment) {
				return nil
			}
			pods, err := clients.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
			if err != nil {
				return err
			}
			return fmt.Errorf("%d of %d replicas are ready%s", deployment.Status.ReadyReplicas, *deployment.Spec.Replicas, describe(pods.Items))
		},
	}.run(ctx)
}

func ready(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration >= d.Generation && d.Status.ReadyReplicas == *d.Spec.Replicas
}

// describe what pods wait for.
func describe(pods []corev1.Pod) (text string) {
	for i := range pods {
		pod := &pods[i]
		text += fmt.Sprintf("; %s is %s", pod.Name, pod.Status.Phase)
		for _, condition := range pod.Status.Conditions {
			if condition.Status != corev1.ConditionTrue && condition.Message != "" {
				text += ": " + condition.Message
			}
		}
		for _, container := range pod.Status.ContainerStatuses {
			if waiting := container.State.Waiting; waiting != nil {
				text += fmt.Sprintf(": %s %s", waiting.Reason, waiting.Message)
			}
		}
	}
	return text
}
