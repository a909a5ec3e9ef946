package bus_test
import ("testing";"fmt";"time";"github.com/go-logr/logr/funcr";"github.com/sluice-gitops/sluice/api/bus";"github.com/sluice-gitops/sluice/api/bus/bustest")
func TestDbg(t *testing.T){
	bustest.RunFaults(t, func(t *testing.T, url string) bus.Bus { return connect(t, bus.Options{URL: url, Name: "test", Log: funcr.New(func(p,a string){fmt.Println(time.Now().Format("05.000"),p,a)}, funcr.Options{})}) })
}
