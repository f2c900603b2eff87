package lab

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed manifests/metrics-server.yaml
var metricsManifest string

const (
	metricsServer = "metrics-server"
	metricsImage  = "docker.io/eastway-lab/metrics-server:lab"
	// metricsHost is by which name the API server calls it.
	metricsHost = metricsServer + ".kube-system.svc"
)

// writeMetricsFiles makes the certificate that metrics-server shows to the API
// server. Those of the kubelets, which it checks, are from the same CA.
func (c *Cluster) writeMetricsFiles(ca *authority) error {
	if !c.lab.state.Config.MetricsServer {
		return nil
	}
	serving, err := ca.issue(metricsServer, nil, metricsHost)
	if err != nil {
		return err
	}
	return serving.write(c.lab.etc(c.controlName()), metricsServer)
}

// metricsManifests are all objects of metrics-server; none if the lab has none.
func (c *Cluster) metricsManifests() ([]byte, error) {
	if !c.lab.state.Config.MetricsServer {
		return nil, nil
	}
	manifest, err := template.New(metricsServer).Parse(metricsManifest)
	if err != nil {
		return nil, fmt.Errorf("lab: read the manifest of %s: %w", metricsServer, err)
	}
	values := map[string]string{"Image": metricsImage}
	for key, file := range map[string]string{"Trust": "ca.crt", "Certificate": metricsServer + ".crt", "Key": metricsServer + ".key"} {
		content, err := os.ReadFile(filepath.Join(c.lab.etc(c.controlName()), file))
		if err != nil {
			return nil, fmt.Errorf("lab: read what %s shows to the API server: %w", metricsServer, err)
		}
		values[key] = base64.StdEncoding.EncodeToString(content)
	}
	var text bytes.Buffer
	if err := manifest.Execute(&text, values); err != nil {
		return nil, fmt.Errorf("lab: fill the manifest of %s: %w", metricsServer, err)
	}
	return text.Bytes(), nil
}
