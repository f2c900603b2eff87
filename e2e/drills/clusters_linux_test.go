package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/cluster/image"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
	"github.com/eastway/eastway/internal/admin"
)

// The world as a stage: real clusters.

func (w *world) where() string { return onClusters }

func (w *world) folder() string { return w.dir }

func (w *world) sites() []*site {
	all := make([]*site, len(w.clusters))
	for i, c := range w.clusters {
		all[i] = c.site
	}
	return all
}

// of a site, the cluster.
func (w *world) of(s *site) *cluster {
	for _, c := range w.clusters {
		if c.site == s {
			return c
		}
	}
	return nil
}

func (w *world) settle(ctx context.Context) error { return w.settled(ctx) }

func (w *world) apply(ctx context.Context, s *site, name string, values map[string]any) error {
	text, err := render(name, values)
	if err != nil {
		return err
	}
	return w.of(s).Cluster.Apply(ctx, text)
}

func (w *world) remove(ctx context.Context, s *site, names ...string) error {
	const kinds = "deployments,services,configmaps,serviceexports,trafficpolicies,externalservices"
	args := append([]string{"-n", namespace, "delete", kinds, "--ignore-not-found"}, names...)
	if out, err := w.of(s).Kubectl(ctx, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (w *world) change(ctx context.Context, s *site, deployment string, how func(*appsv1.DeploymentSpec)) error {
	c := w.of(s)
	var one appsv1.Deployment
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: deployment}, &one); err != nil {
		return err
	}
	patch := client.MergeFrom(one.DeepCopy())
	how(&one.Spec)
	return c.Patch(ctx, &one, patch)
}

func (w *world) rolledOut(ctx context.Context, s *site) error { return w.of(s).awaitDeployments(ctx) }

func (w *world) setPolicy(ctx context.Context, s *site, name string, how func(*v1alpha1.TrafficPolicySpec)) error {
	c := w.of(s)
	var p v1alpha1.TrafficPolicy
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &p); err != nil {
		return err
	}
	patch := client.MergeFrom(p.DeepCopy())
	how(&p.Spec)
	return c.Patch(ctx, &p, patch)
}

// hostOf is the name of the Service that stands for it: CoreDNS here has no line for its own name, which e2e/mcs tests.
func (w *world) hostOf(ctx context.Context, s *site, external string) (host string, err error) {
	err = lab.Await(ctx, external+" to have an address", patience, func(ctx context.Context) error {
		var e v1alpha1.ExternalService
		if err := w.of(s).Get(ctx, client.ObjectKey{Namespace: namespace, Name: external}, &e); err != nil {
			return err
		}
		if host = e.Status.Hostname; host == "" || len(e.Status.Addresses) == 0 {
			return fmt.Errorf("status %+v", e.Status)
		}
		return nil
	})
	return host, err
}

// outsideSecret has the CA of what is outside, for proxies that are installed after it, and its key, for the drill.
const outsideSecret = "mydb"

// makeOutside writes that Secret.
func (w *world) makeOutside(ctx context.Context, c *cluster) error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	certificate, key, err := ca.text()
	if err != nil {
		return err
	}
	return errors.Join(
		c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: install.Namespace}}),
		c.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: install.Namespace, Name: outsideSecret},
			StringData: map[string]string{"ca.crt": certificate, "ca.key": key},
		}))
}

func (w *world) trustOutside(ctx context.Context, s *site) (ca *authority, fields map[string]string, err error) {
	var secret corev1.Secret
	if err := w.of(s).Get(ctx, client.ObjectKey{Namespace: install.Namespace, Name: outsideSecret}, &secret); err != nil {
		return nil, nil, err
	}
	ca, err = readAuthority(secret.Data["ca.crt"], secret.Data["ca.key"])
	return ca, map[string]string{"credentialName": outsideSecret}, err
}

func (w *world) running(ctx context.Context, s *site, app string) ([]place, error) {
	return w.of(s).pods(ctx, w.mock, app)
}

func (w *world) answer(ctx context.Context, s *site, zone, url string) (string, error) {
	return w.of(s).call(ctx, zone, url)
}

func (w *world) endpoints(ctx context.Context, s *site, service string) ([]admin.ServiceEndpoints, error) {
	out, err := w.Eastway(ctx, "endpoints", namespace+"/"+service, "--context", s.Name, "--all", "-o", "json")
	if err != nil {
		return nil, err
	}
	var answers []admin.ServiceEndpoints
	if err := json.Unmarshal([]byte(out), &answers); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return answers, nil
}

func (w *world) accessLogs(ctx context.Context, s *site) (string, error) {
	c := w.of(s)
	pods, err := install.Pods(ctx, c.Client, "proxy")
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for i := range pods {
		out, err := c.Kubectl(ctx, "-n", install.Namespace, "logs", pods[i].Name, "--tail=5000").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("logs of %s: %w: %s", pods[i].Name, err, out)
		}
		all.Write(out)
	}
	return all.String(), nil
}

// installNginx makes an image of this computer's nginx and gives it to all nodes.
func (w *world) installNginx(ctx context.Context, program string) error {
	files, err := image.Program(ctx, program)
	if err != nil {
		return err
	}
	archive := filepath.Join(w.dir, "nginx.tar")
	err = image.Image{
		Name: nginxImage, Files: files, User: "65532:65532",
		Entrypoint: []string{program, "-e", "stderr", "-c", "/etc/nginx/nginx.conf"},
	}.Save(archive)
	return errors.Join(err, w.lab.LoadImage(ctx, archive))
}

func (w *world) complaints(ctx context.Context, s *site, app string) (string, error) {
	c := w.of(s)
	logged, err := c.Kubectl(ctx, "-n", namespace, "logs", "--selector=app="+app, "--prefix", "--tail=-1").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, logged)
	}
	const restarts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}" // a log does not outlive its container
	out, err := c.Kubectl(ctx, "-n", namespace, "get", "pods", "--selector=app="+app, "--output="+restarts).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	if strings.Trim(string(out), "0 ") != "" {
		return fmt.Sprintf("%s\nrestarts: %s", logged, out), nil
	}
	return string(logged), nil
}

func (w *world) explain(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), endPatience)
	defer cancel()
	w.Diagnose(ctx, t.Name())
}

// keepLogs of Eastway's pods: Kubernetes throws them away with the pods.
func (w *world) keepLogs(dir string) {
	_ = os.MkdirAll(dir, 0o755)
	logs, _ := filepath.Glob(filepath.Join(w.lab.Dir(), "*", "log", "pods", install.Namespace+"_*", "*", "*.log*"))
	for _, log := range logs {
		info, err := os.Stat(log)
		if err != nil {
			continue // it was thrown away
		}
		stat, _ := info.Sys().(*syscall.Stat_t)
		pod := strings.TrimPrefix(filepath.Base(filepath.Dir(filepath.Dir(log))), install.Namespace+"_")
		_ = os.Link(log, filepath.Join(dir, fmt.Sprintf("%s-%d.log", pod, stat.Ino))) // there already, or another disk: no matter
	}
}
