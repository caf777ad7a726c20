// Show the datasets of the page with chemiscope, one at a time. Without WebGL, keep the picture.
(() => {
    const datasets = JSON.parse(document.getElementById('view-data').textContent);
    const choice = document.getElementById('view-choice');
    const view = document.getElementById('view');
    const message = document.getElementById('view-error');
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
            // a copy, because chemiscope modifies the dataset
            const dataset = structuredClone(datasets[index]);
            const warnings = new Chemiscope.Warnings();
            current = await Chemiscope.DefaultVisualizer.load(layout(), dataset, warnings);
            view.dataset.shown = String(index);
        } catch (error) {
            view.innerHTML = picture;
            message.textContent = `The view does not work in this browser: ${error.message}`;
            message.hidden = false;
        }
    }

    // Chemiscope resizes its map one animation frame after its element changed, and raises an error
    // if the map was removed in between.
    window.addEventListener('unhandledrejection', (event) => {
        if (/^Resize must be passed a displayed plot/.test(event.reason?.message)) {
            event.preventDefault();
        }
    });

    let last = show(0); // load one dataset after the other, even if the choice changes quickly
    choice.addEventListener('change', () => {
        last = last.then(() => show(Number(choice.value)));
    });
})();
