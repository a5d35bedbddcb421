// loadCks(): a promise of the library (apps/web/bindings.cpp lists its functions), loaded once a page. A
// page that is opened as a file may not fetch others: for it, cks_wasm.js holds the bytes as text.
'use strict';

const loadCks = (() => {
  const folder = document.currentScript.src.replace(/[^/]*$/, '');
  let loaded;

  function script(name) {
    return new Promise((resolve, reject) => {
      const element = document.createElement('script');
      element.src = folder + name;
      element.onload = resolve;
      element.onerror = () => reject(new Error(`${folder + name} cannot be loaded`));
      document.head.append(element);
    });
  }

  async function bytes() {
    if (location.protocol !== 'file:') {
      const response = await fetch(folder + 'cks.wasm');
      if (!response.ok) throw new Error(`${folder}cks.wasm: ${response.status}`);
      return response.arrayBuffer();
    }
    await script('cks_wasm.js');
    return Uint8Array.from(atob(CKS_WASM), (letter) => letter.charCodeAt(0)).buffer;
  }

  return () => {
    loaded = loaded || Promise.all([bytes(), script('cks.js')]).then(([wasmBinary]) => createCks({wasmBinary}));
    return loaded;
  };
})();
