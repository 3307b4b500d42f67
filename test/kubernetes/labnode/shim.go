package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Mount shows Source (on the host) at Target in the container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// Place is where a process runs, and what it runs: the shim reads it, goes there, and becomes it.
type Place struct {
	Cgroup, Netns, Hostname, Dir string
	Join                         int    // enter this process's mounts instead of making a root
	Root                         string // folder for the overlay's layers
	Mounts                       []Mount
	Files                        map[string]string
	Programs                     map[string]string // NAME -> program: in /usr/local/bin
	Argv, Env                    []string
	UID, GID                     int
	Privileged, NoNewPrivileges  bool
	SeccompRunner, Seccomp       string // a program, and the profile that it is to load first
	Capabilities                 []int
}

const shimName = "labnode-shim"

// A namespace belongs to a thread. In init the only goroutine is on the main thread, and stays there until
// the program that is asked for takes its place.
func init() {
	if os.Args[0] != shimName {
		return
	}
	runtime.LockOSThread()
	var place Place
	err := json.Unmarshal([]byte(os.Args[1]), &place)
	if err == nil {
		err = place.become()
	}
	fmt.Fprintln(os.Stderr, "cannot start:", err)
	os.Exit(127)
}

func (p *Place) become() error {
	if err := os.WriteFile(p.Cgroup+"/cgroup.procs", []byte("0"), 0); err != nil {
		return err
	}
	if err := enter(p.Netns, unix.CLONE_NEWNET); err != nil {
		return err
	}
	if p.Join != 0 {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := enter(fmt.Sprintf("/proc/%d/ns/uts", p.Join), unix.CLONE_NEWUTS); err != nil {
			return err
		}
		if err := enter(fmt.Sprintf("/proc/%d/ns/mnt", p.Join), unix.CLONE_NEWNS); err != nil {
			return err
		}
	} else if err := p.makeRoot(); err != nil {
		return err
	}
	if err := os.Chdir(p.Dir); err != nil {
		return err
	}
	os.Clearenv()
	for _, one := range p.Env {
		name, value, _ := cut(one)
		os.Setenv(name, value)
	}
	program, err := exec.LookPath(p.Argv[0])
	if err != nil {
		return err
	}
	if err := p.limit(); err != nil {
		return err
	}
	if p.GID != 0 {
		if err := unix.Setresgid(p.GID, p.GID, p.GID); err != nil {
			return err
		}
	}
	if p.UID != 0 {
		if err := unix.Setresuid(p.UID, p.UID, p.UID); err != nil {
			return err
		}
	}
	argv := p.Argv
	if p.Seccomp != "" {
		argv = append([]string{p.SeccompRunner, p.Seccomp, program}, p.Argv...)
		program = p.SeccompRunner
	}
	return unix.Exec(program, argv, p.Env)
}

func cut(text string) (string, string, bool) {
	for i := range text {
		if text[i] == '=' {
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

func enter(path string, kind int) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, kind); err != nil {
		return fmt.Errorf("enter %s: %w", path, err)
	}
	return nil
}

// An overlay over the host's root takes the writes; the kernel's file systems are the host's, /run is
// empty, and unmounts on the host arrive here, so that nothing is kept alive.
func (p *Place) makeRoot() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return err
	}
	root := p.Root + "/root"
	for _, folder := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(p.Root+"/"+folder, 0o755); err != nil {
			return err
		}
	}
	layers := "lowerdir=/,upperdir=" + p.Root + "/upper,workdir=" + p.Root + "/work"
	if err := unix.Mount("overlay", root, "overlay", 0, layers); err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	for _, folder := range []string{"/proc", "/sys", "/dev"} {
		if err := unix.Mount(folder, root+folder, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
	}
	if err := unix.Mount("tmpfs", root+"/run", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := p.fill(root); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(p.Hostname)); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	return unix.Unmount(".", unix.MNT_DETACH)
}

func (p *Place) fill(root string) error {
	for path, text := range p.Files {
		os.Remove(root + path)
		if err := os.WriteFile(root+path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for name, program := range p.Programs {
		// No link: the way to the program may be closed to the container's user.
		target := root + "/usr/local/bin/" + name
		os.Remove(target)
		if err := os.WriteFile(target, nil, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(program, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("program %s: %w", program, err)
		}
	}
	for _, one := range p.Mounts {
		target := filepath.Join(root, resolveRun(one.Target))
		info, err := os.Stat(one.Source)
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = os.MkdirAll(target, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
			err = os.WriteFile(target, nil, 0o644)
		}
		if err != nil {
			return fmt.Errorf("mount point %s: %w", one.Target, err)
		}
		if err := unix.Mount(one.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mount %s on %s: %w", one.Source, one.Target, err)
		}
		if one.ReadOnly {
			flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY)
			if err := unix.Mount("", target, "", flags, ""); err != nil {
				return fmt.Errorf("mount %s read-only: %w", one.Target, err)
			}
		}
	}
	return nil
}

// /var/run is a link to /run, absolute on some machines: it must not lead out of the root.
func resolveRun(path string) string {
	if rest, found := trimFolder(path, "/var/run"); found {
		return "/run" + rest
	}
	return path
}

func trimFolder(path, folder string) (string, bool) {
	if path == folder || len(path) > len(folder) && path[:len(folder)+1] == folder+"/" {
		return path[len(folder):], true
	}
	return path, false
}
