package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	refreshEvery  = 5 * time.Second // ConfigMaps and Secrets; a token is renewed at 80 % of its life
	tokenLifetime = int64(3600)
)

// volumes are a pod's, as folders of the host.
type volumes struct {
	pod    *podRun
	folder map[string]string // volume name -> on the host
	renew  map[string]time.Time
}

func (r *podRun) makeVolumes(ctx context.Context) (*volumes, error) {
	all := &volumes{r, map[string]string{}, map[string]time.Time{}}
	for i := range r.pod.Spec.Volumes {
		one := &r.pod.Spec.Volumes[i]
		path := r.folder() + "/volumes/" + one.Name
		if one.HostPath != nil {
			var err error
			if path, err = all.hostPath(one.HostPath); err != nil {
				return nil, fmt.Errorf("volume %s: %w", one.Name, err)
			}
		} else if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, err
		} else if one.EmptyDir != nil {
			os.Chmod(path, 0o777) // for whomever the containers run as
		}
		all.folder[one.Name] = path
		if err := all.write(ctx, one); err != nil {
			return nil, fmt.Errorf("volume %s: %w", one.Name, err)
		}
	}
	return all, os.MkdirAll(r.folder(), 0o755)
}

// hostPath: each node has files of its own, below its folder, but the kernel's and the network
// namespaces' are the machine's.
func (v *volumes) hostPath(source *v1.HostPathVolumeSource) (string, error) {
	path := resolveRun(filepath.Clean(source.Path))
	for _, shared := range []string{"/sys", "/proc", "/dev", "/lib/modules", "/run/netns"} {
		if _, found := trimFolder(path, shared); found {
			return path, nil
		}
	}
	path = v.pod.node.options.State + "/root" + path
	kind := v1.HostPathUnset
	if source.Type != nil {
		kind = *source.Type
	}
	switch kind {
	case v1.HostPathFileOrCreate:
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		file, err := os.OpenFile(path, os.O_CREATE, 0o644)
		if err == nil {
			err = file.Close()
		}
		return path, err
	case v1.HostPathUnset, v1.HostPathDirectoryOrCreate:
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		return path, os.MkdirAll(path, 0o755)
	}
	_, err := os.Stat(path)
	return path, err
}

// write fills a volume whose contents come from the API.
func (v *volumes) write(ctx context.Context, volume *v1.Volume) error {
	folder := v.folder[volume.Name]
	switch {
	case volume.ConfigMap != nil:
		data, err := v.pod.configMap(volume.ConfigMap.Name, volume.ConfigMap.Optional)
		return store(folder, data, volume.ConfigMap.Items, err)
	case volume.Secret != nil:
		data, err := v.pod.secret(volume.Secret.SecretName, volume.Secret.Optional)
		return store(folder, data, volume.Secret.Items, err)
	case volume.DownwardAPI != nil:
		return v.downward(folder, volume.DownwardAPI.Items)
	case volume.Projected != nil:
		for i := range volume.Projected.Sources {
			if err := v.project(ctx, folder, &volume.Projected.Sources[i]); err != nil {
				return err
			}
		}
	case volume.EmptyDir == nil && volume.HostPath == nil:
		return fmt.Errorf("a kind that lab nodes do not have")
	}
	return nil
}

func (v *volumes) project(ctx context.Context, folder string, source *v1.VolumeProjection) error {
	switch {
	case source.ConfigMap != nil:
		data, err := v.pod.configMap(source.ConfigMap.Name, source.ConfigMap.Optional)
		return store(folder, data, source.ConfigMap.Items, err)
	case source.Secret != nil:
		data, err := v.pod.secret(source.Secret.Name, source.Secret.Optional)
		return store(folder, data, source.Secret.Items, err)
	case source.DownwardAPI != nil:
		return v.downward(folder, source.DownwardAPI.Items)
	case source.ServiceAccountToken != nil:
		return v.token(ctx, folder, source.ServiceAccountToken)
	}
	return fmt.Errorf("a projection that lab nodes do not have")
}

func (v *volumes) downward(folder string, items []v1.DownwardAPIVolumeFile) error {
	for _, one := range items {
		if one.FieldRef == nil {
			continue
		}
		value, err := v.pod.field(one.FieldRef.FieldPath)
		if err == nil {
			err = replace(folder+"/"+one.Path, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// token is one of the TokenRequest API, bound to the pod.
func (v *volumes) token(ctx context.Context, folder string, source *v1.ServiceAccountTokenProjection) error {
	path := folder + "/" + source.Path
	if time.Now().Before(v.renew[path]) {
		return nil
	}
	lifetime := tokenLifetime
	if source.ExpirationSeconds != nil {
		lifetime = *source.ExpirationSeconds
	}
	pod := v.pod.pod
	request := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{ExpirationSeconds: &lifetime,
		BoundObjectRef: &authv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}}}
	if source.Audience != "" {
		request.Spec.Audiences = []string{source.Audience}
	}
	answer, err := v.pod.node.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(
		ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	left := time.Until(answer.Status.ExpirationTimestamp.Time)
	v.renew[path] = time.Now().Add(left * 8 / 10)
	return replace(path, answer.Status.Token)
}

func store(folder string, data map[string]string, items []v1.KeyToPath, err error) error {
	if err != nil {
		return err
	}
	if len(items) == 0 {
		for key, value := range data {
			if err := replace(folder+"/"+key, value); err != nil {
				return err
			}
		}
		return nil
	}
	for _, one := range items {
		value, found := data[one.Key]
		if !found {
			continue
		}
		if err := replace(folder+"/"+one.Path, value); err != nil {
			return err
		}
	}
	return nil
}

// replace: a reader sees the old file or the new one, whole.
func replace(path, text string) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (v *volumes) keepFresh(ctx context.Context) {
	for pause(ctx, refreshEvery) {
		for i := range v.pod.pod.Spec.Volumes {
			v.write(ctx, &v.pod.pod.Spec.Volumes[i]) // what cannot be read now keeps its last contents
		}
	}
}

func (v *volumes) of(spec *v1.Container) ([]Mount, error) {
	var mounts []Mount
	if v == nil {
		return nil, fmt.Errorf("the pod has no volumes yet")
	}
	for _, one := range spec.VolumeMounts {
		source, found := v.folder[one.Name]
		if !found {
			return nil, fmt.Errorf("there is no volume %s", one.Name)
		}
		if one.SubPath != "" {
			if strings.Contains(one.SubPath, "..") {
				return nil, fmt.Errorf("subPath %s leads out of its volume", one.SubPath)
			}
			source += "/" + one.SubPath
			if _, err := os.Stat(source); err != nil {
				if err := os.MkdirAll(source, 0o755); err != nil {
					return nil, err
				}
			}
		}
		mounts = append(mounts, Mount{source, one.MountPath, one.ReadOnly})
	}
	return mounts, nil
}
