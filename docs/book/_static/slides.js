// Arrow keys turn the lecture's pages, unless the reader is inside a picture or a field.
'use strict';

addEventListener('keydown', (event) => {
  const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (!step || event.target.closest('input, select, textarea, [role=gridcell]')) return;
  const slides = [...document.querySelectorAll('article section section')];
  const at = slides.filter((slide) => slide.getBoundingClientRect().top < 40).length - 1;
  const next = slides[Math.max(0, Math.min(slides.length - 1, at + step))];
  next.scrollIntoView();
  event.preventDefault();
});
