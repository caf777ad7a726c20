// Shows the datasets of the page with chemiscope, one at a time. Without WebGL the picture stays.
(() => {
    const datasets = JSON.parse(document.getElementById('view-data').textContent);
    const choice = document.getElementById('view-choice');
    const view = document.getElementById('view');
    const complaint = document.getElementById('view-error');
    const picture = view.innerHTML;
    let current = null;

    function layout() {
        view.innerHTML =
            '<div class="view-column"><div id="view-meta"></div><div id="view-map"></div></div>' +
            '<div class="view-column"><div id="view-structure"></div><div id="view-info"></div></div>';
        return {
            meta: 'view-meta',
            map: 'view-map',
            structure: 'view-structure',
            info: 'view-info',
        };
    }

    async function show(index) {
        if (current !== null) {
            current.remove();
            current = null;
        }
        try {
            // chemiscope changes what it loads
            const dataset = structuredClone(datasets[index]);
            const warnings = new Chemiscope.Warnings();
            current = await Chemiscope.DefaultVisualizer.load(layout(), dataset, warnings);
            view.dataset.shown = String(index);
        } catch (error) {
            view.innerHTML = picture;
            complaint.textContent = `The view does not work in this browser: ${error.message}`;
            complaint.hidden = false;
        }
    }

    // Chemiscope's map fits itself to its place one frame after the place has changed, and complains
    // when it was taken away in between.
    window.addEventListener('unhandledrejection', (event) => {
        if (/^Resize must be passed a displayed plot/.test(event.reason?.message)) {
            event.preventDefault();
        }
    });

    let last = show(0); // one at a time, however fast the choice changes
    choice.addEventListener('change', () => {
        last = last.then(() => show(Number(choice.value)));
    });
})();
