package engines

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// engineCases: what the engine asks of a runtime besides containers, and many at a time.
var engineCases = []testCase{
	{name: "twenty containers, four at a time", run: func(p *probe) {
		var wg sync.WaitGroup
		slots := make(chan struct{}, 4)
		errs := make(chan string, 20)
		for i := range 20 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				slots <- struct{}{}
				defer func() { <-slots }()
				r := p.e.do("", p.flags([]string{"run", "--rm", "--", "sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i%5)})...)
				if r.code != i%5 || r.out != fmt.Sprint(i) {
					errs <- fmt.Sprintf("container %d: exit code %d, output %q, error %q", i, r.code, r.out, r.err)
				}
			}()
		}
		wg.Wait()
		close(errs)
		for e := range errs {
			p.Error(e)
		}
	}},
	{name: "the engine names the runtime under test", only: "docker", run: func(p *probe) {
		p.equal("default runtime", p.ok("info", "--format", "{{.DefaultRuntime}}"), "tested")
		name := p.start("--", "sleep", "100")
		p.equal("container's", p.inspect(name, "{{.HostConfig.Runtime}}"), "tested")
	}},
	{name: "the engine names the runtime under test", only: "podman", run: func(p *probe) {
		p.equal("path", p.ok("info", "--format", "{{.Host.OCIRuntime.Path}}"), filepath.Join(p.e.dir, filepath.Base(p.e.runtime)))
		version := p.ok("info", "--format", "{{.Host.OCIRuntime.Version}}")
		if strings.TrimSpace(version) == "" {
			p.Errorf("the runtime has no version")
		}
	}},
	{name: "the shim's events: exit of a container is seen", only: "docker", run: func(p *probe) {
		name := p.start("--", "sh", "-c", "exit 13")
		p.ok("wait", name)
		p.eventually("die event", func() bool {
			now := strconv.FormatInt(time.Now().Unix()+1, 10)
			out := p.ok("events", "--since", "10m", "--until", now, "--filter", "container="+name, "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}")
			return strings.Contains(out, "die 13")
		})
	}},
}
